"""A folder of pictures of the user's own, with captions or classes, as a source of samples."""
