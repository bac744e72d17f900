"""The index of all usable samples of a folder of shards."""
