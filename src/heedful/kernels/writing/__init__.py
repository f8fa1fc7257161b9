"""Networks that write, whole in C++: from tokens to tokens in one call."""
