"""Measurements against a named baseline in the same run; figures in docs/PERFORMANCE.md."""
