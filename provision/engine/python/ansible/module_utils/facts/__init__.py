"""Helpers of modules that gather facts; the facts themselves come from `setup`."""
