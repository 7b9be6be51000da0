"""The script that writes the references needs torch, which the tests do not."""

collect_ignore = ["references/make.py"]
