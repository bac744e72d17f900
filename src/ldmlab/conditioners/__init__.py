"""Conditioners: from a batch to `Conditioning`, its null, and the one place where conditions are dropped."""
