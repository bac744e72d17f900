"""How near pictures come to those that they were made of."""
