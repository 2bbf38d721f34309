"""The metrics API: figures of the published warehouse over HTTP, for programs."""
