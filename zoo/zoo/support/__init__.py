"""The support matrix: every built-in model in every format and scheme, as measured."""
