"""Metrics of what a model predicts, from plain arrays: one file for each kind of task."""
