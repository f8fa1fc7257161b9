"""Summaries: a long text in, a short one out, some of its words copied."""
