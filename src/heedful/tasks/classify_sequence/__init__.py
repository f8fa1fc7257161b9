"""Sequence classification: a label for DNA, RNA or a protein."""
