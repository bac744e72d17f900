"""Shard writers and readers, the latent cache, the DataModule."""
