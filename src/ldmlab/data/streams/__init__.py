"""Shards that come as they are read: pipes, web servers, object stores, files; nothing of them is sought in."""
