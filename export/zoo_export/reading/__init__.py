"""From a source to what is known of its model: signature, samples, and what Keras answers."""
