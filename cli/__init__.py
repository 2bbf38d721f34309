"""The `tillhouse` command."""
