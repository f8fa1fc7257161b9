"""Speech recognition: the text that is said in a sound."""
