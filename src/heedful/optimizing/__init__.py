"""Spend less attention, keep the quality, and prove it."""
