"""The release whose modules this is made for."""

__version__ = "2.18.19"
__author__ = "provision"
__codename__ = "provision"
