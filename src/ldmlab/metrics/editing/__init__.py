"""What an edit keeps of a given picture, and how well it follows its prompt, as PIE-Bench measures it."""
