"""How a language model writes: one loop in NumPy, whatever computes the logits."""
