"""The front door: what `import ldmlab` offers to programs and notebooks. See docs/python.md."""
