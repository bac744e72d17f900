"""Samplers: one loop over noise levels, and for each method the step between two of them."""
