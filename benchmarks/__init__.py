"""Scripts that measure Brimline against a named baseline in the same run; see docs/PERFORMANCE.md."""
