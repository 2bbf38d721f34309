"""The catalogue of bad inputs and faults: what is delivered, what becomes of it, and the tests that hold it so."""
