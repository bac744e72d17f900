"""Public checkpoints in and out: Stable Diffusion, latent diffusion, DiT, in the layouts of their authors and diffusers."""
