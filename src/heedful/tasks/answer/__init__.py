"""Answers to questions about texts."""
