"""What each task makes of examples, and what is right of its answers."""
