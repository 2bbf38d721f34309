"""Metabase, provisioned from the same definitions as every other face: plan, apply, drift."""
