"""Recommendation: which ten items a user has next, from those it has had."""
