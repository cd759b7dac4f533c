"""Confirmed normal fabric to a candidate model: dataset, training, job, trainer. Promotion is an act of staff."""
