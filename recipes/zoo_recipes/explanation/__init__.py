"""What a prediction depends on: attributions, how faithful they are, and their page."""
