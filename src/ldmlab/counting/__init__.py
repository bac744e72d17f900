"""Operations and memory of a pass through a module, counted on tensors without data."""
