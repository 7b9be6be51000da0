"""From what is known of a model to the verified files of a bundle."""
