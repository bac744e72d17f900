"""Latents of a frozen autoencoder, kept on the disk."""
