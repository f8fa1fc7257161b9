"""Forecasting: the next rows of a table from its last ones, by a Transformer over patches."""
