"""Figures that papers have printed, and a measurement of one's own beside them."""
