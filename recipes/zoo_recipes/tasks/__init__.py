"""What each task makes of examples, and how its predictions are scored."""
