"""What in an input an answer hangs on: attributions, how faithful they are, and their page."""
