import importlib

from storage.job_queue import RETRAINING_JOB


def test_the_name_the_dashboard_starts_a_training_by_is_a_function():
    module, _, name = RETRAINING_JOB.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
