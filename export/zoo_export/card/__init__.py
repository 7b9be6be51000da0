"""The README.md of a bundle: what it is, how it was verified, programs that run it."""
