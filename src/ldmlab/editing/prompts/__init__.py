"""Changing a picture by changing its prompt: which words go back to which, and what their maps become."""
