"""Datasets of Hugging Face that lie on this disk, in Arrow or Parquet, as sources of samples."""
