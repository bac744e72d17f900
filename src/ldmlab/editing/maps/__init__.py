"""Attention maps to look at."""
