"""How large a model is, known before anything is built."""
