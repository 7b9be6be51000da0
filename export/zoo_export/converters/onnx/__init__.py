"""Keras to ONNX, and the passes over its graph."""
