"""Public checkpoints in and out: Stable Diffusion, latent diffusion and DiT."""
