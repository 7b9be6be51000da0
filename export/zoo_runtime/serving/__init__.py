"""A model behind HTTP: texts as in OpenAI's API, tensors by the Open Inference Protocol."""
