"""Argon2 at a cost that suits a test: what it costs in earnest is tested once, beside the passwords."""

import pytest
from argon2 import PasswordHasher

from storage.accounts import passwords


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
