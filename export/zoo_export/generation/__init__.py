"""Files that generate: language models with a cache, and what writes texts with them."""
