"""ldmlab and diffusers side by side: the same work in one process, measured in turns, told as ratios."""
