"""Keras to LiteRT (TensorFlow Lite)."""
