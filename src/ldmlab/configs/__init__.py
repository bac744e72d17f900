"""Composes the configs of commands with Hydra, and refuses in one line what is wrong with them."""
