"""What modules may import as `ansible`: provision's own, small `module_utils`."""
