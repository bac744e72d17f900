"""Changing a picture by changing its prompt, a region of it, or its noise."""
