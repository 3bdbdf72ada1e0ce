"""Reading of values."""
