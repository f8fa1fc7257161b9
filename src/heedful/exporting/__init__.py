"""Models as files that other programs run: one format, one file."""
