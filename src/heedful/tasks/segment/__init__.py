"""Segmentation: a label for every pixel of an image, by a U-Net with attention gates."""
