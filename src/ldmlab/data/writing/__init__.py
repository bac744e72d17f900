"""Shards in the layout of img2dataset, written by any number of processes."""
