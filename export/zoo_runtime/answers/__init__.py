"""What the outputs of a model mean: labels, boxes, parts of texts, texts."""
