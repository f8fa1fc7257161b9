"""Linear layers in 8 bits, in C++: rows are rounded, multiplied and scaled in one call."""
