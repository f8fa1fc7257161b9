"""Image classification: a label for an image, by convolutions or patches with attention."""
