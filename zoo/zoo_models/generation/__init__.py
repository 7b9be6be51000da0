"""A Keras language model as one that reads a few tokens at a time and keeps what it has read."""
