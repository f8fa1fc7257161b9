"""Metrics: what answers are worth, with intervals; one for dev scores, evaluate, optimize, tune."""
