"""Data sets that packages happen to carry, for Kerazoo: found by its public entry points alone."""
