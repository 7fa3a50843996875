"""Servers that tests of several rooms share."""
