"""Small weights beside those of a trained backbone, which stay as they are: the only ones that a run trains."""
