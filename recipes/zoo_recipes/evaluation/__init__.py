"""Evaluation of a trained model: metrics, intervals, groups and likely label errors."""
