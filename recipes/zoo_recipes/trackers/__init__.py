"""What follows a training beside its run folder: energy, MLflow, and what plugins bring."""
