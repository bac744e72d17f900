"""Inversion: the noise, and whatever else a run of the sampler needs, that leads to a given picture."""
