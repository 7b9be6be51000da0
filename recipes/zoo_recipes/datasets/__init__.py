"""Datasets made offline from what installed packages ship, and any of tensorflow-datasets."""
