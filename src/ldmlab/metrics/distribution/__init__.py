"""How a set of pictures compares with another, by the features of a network."""
