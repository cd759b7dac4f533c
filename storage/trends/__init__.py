"""Trends: totals kept as records are written, and what is read from them."""
