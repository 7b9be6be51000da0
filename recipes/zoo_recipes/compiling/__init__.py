"""What `compile` takes, by name: optimizers, schedules, losses and metrics."""
