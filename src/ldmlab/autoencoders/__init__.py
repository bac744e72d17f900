"""Autoencoders between images in [-1, 1] and latents of unit variance, and the losses that train them."""
