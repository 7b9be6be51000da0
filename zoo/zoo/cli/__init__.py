"""The command line ``zoo``."""
