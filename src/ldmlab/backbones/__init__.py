"""Networks (x, timesteps, cond, control) -> prediction, as plain modules."""
