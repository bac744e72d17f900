"""How the condition steers sampling: each turns a denoiser and its conditions into a function of (x, level)."""
