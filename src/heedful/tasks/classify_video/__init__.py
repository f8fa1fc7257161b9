"""Video classification: a label for a video, by attention over space and then over time."""
