"""Checkpoint folders of Hugging Face: opened, profiled and optimised without writing code."""
