"""The JSON that the pages and scripts read."""
