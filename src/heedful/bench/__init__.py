"""Side by side: time, memory and error of two or more ways to do one thing, measured here."""
