"""How Kerazoo is measured: each file is a script, `support` also a part of the tests."""
