"""Training: initial values, optimizers, schedules, metrics and loops."""
