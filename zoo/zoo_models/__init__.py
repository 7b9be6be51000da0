"""Model families, their layers, catalog and weights, and the way from a name to a model."""
