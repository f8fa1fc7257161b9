"""Speech classification: a label for a sound."""
