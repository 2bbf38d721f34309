"""The daily report: one HTML file over the published metrics and marts."""
