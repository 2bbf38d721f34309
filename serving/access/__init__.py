"""Who may see what: one policy for the API and for the readers of Postgres, and the keys of the API."""
