"""Examples as arrays: where batches come from, and what a model predicts for them."""
