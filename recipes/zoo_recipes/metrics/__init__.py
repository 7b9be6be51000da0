"""Figures of what a model answers, from plain arrays: one file for each kind of task."""
