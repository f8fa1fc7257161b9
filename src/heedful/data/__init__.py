"""Texts and their translations: where they come from, how they become numbers and batches."""
