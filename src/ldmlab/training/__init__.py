"""LightningModules and the callbacks around them."""
