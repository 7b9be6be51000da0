"""Sizes of a model, known before it is built."""
