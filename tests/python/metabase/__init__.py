"""A fake Metabase, and tests of what is provisioned there."""
