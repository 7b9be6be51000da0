"""What a trained model is worth: figures, intervals, groups and likely label errors."""
