"""Frozen networks whose features and logits metrics compare pictures by."""
