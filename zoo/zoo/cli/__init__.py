"""The command line ``zoo``."""

# What a shell gives a program that Ctrl-C ended.
INTERRUPTED = 130
