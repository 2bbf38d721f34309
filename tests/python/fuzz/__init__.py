"""Mutated files against the whole of ingestion: no crash, no silent loss, and what is accepted is what stands there."""
