"""The page of a run, and of what optimising made of it: one file that loads nothing."""
