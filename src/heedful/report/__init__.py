"""Pictures and pages from plain data; nothing here imports torch or loads from another host."""
