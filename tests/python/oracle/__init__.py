"""A second implementation of the marts, in plain Python, and the tests that hold the warehouse to it."""
