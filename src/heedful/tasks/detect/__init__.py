"""Detection: boxes around things in images, as a set, by a Transformer."""
