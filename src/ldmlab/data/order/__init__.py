"""Which sample comes when, and how it is seen."""
