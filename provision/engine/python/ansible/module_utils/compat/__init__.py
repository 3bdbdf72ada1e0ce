"""What differs between releases of Python."""
