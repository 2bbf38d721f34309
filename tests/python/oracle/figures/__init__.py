"""Recomputation of the figures, straight from delivered files.

Written from the metric dictionary and the feed contracts alone. It shares no code with the project: agreement
between the two is evidence only as long as it stays that way. The steps follow one another as modules:
`feed_files` → `deliveries` → `contracts` → `entities` → `prices`, `book` → one module per group of marts.
"""
