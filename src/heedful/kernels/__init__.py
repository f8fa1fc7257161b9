"""Fast exact attention: which code runs where, and how that is chosen."""
