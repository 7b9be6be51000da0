"""Recipes, datasets, training and evaluation; heavy libraries are imported where they are used."""
