"""The support matrix and the operators of Keras: measured in every format, and documented."""
