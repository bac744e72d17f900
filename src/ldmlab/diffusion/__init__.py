"""The forward process, what a network predicts, and the denoiser that turns a prediction into clean latents."""
