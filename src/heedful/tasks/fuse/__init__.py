"""Fusion: a label for an image, a sound and a text together."""
