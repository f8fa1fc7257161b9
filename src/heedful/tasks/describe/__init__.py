"""Describing images: a sentence that tells what one shows."""
