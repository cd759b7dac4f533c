"""The report of an evaluation: one page of its own, with every figure, curve and example."""
