"""Measuring: feature extractors, metrics, evaluation protocols and their manifest."""
