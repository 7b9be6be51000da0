"""A Kerazoo plugin: the model `gated-mlp`, the data set `iris_flowers`, a recipe for both."""
