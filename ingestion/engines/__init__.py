"""Engines that run the validation program over one file."""
