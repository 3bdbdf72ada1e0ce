"""Parts that other parts of `module_utils` are made of."""
