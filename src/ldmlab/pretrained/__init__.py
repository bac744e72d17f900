"""Frozen ImageNet networks, loaded from local weights only."""
