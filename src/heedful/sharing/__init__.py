"""A search by several commands: who they are, what they share, and where that is kept."""
