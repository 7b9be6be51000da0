"""From a Keras model to a file of each format, in a child process."""
