"""Measurements of the whole road, from generated files to published marts."""
