"""PIE-Bench (Ju et al. 2023): editing methods on given pictures with prompts and masks."""
