"""Runtimes: the scoring graph on this machine, by one of several ways that must agree. See `base.Runtime`."""
