"""Dashboards: defined once as data, shown by Streamlit here and by other faces alike."""
