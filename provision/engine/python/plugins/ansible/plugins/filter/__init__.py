"""Nothing by itself."""
