"""Whole models from plain configs, which may be a stranger's: built from our own classes and nothing else."""
