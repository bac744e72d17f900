"""Measuring models: what is drawn or decoded of held-out samples, handed to metrics."""
