"""From a recipe to a run: data made ready, the loop, checkpoints, and repeating it all."""
