"""Passwords at their real cost."""

import pytest

from storage.accounts.passwords import MAX_CHARACTERS, hash_password, is_outdated, is_password


def test_a_hash_costs_what_rfc_9106_says_for_little_memory() -> None:
    hashed = hash_password("linen warp 1887")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert hashed != hash_password("linen warp 1887"), "each has its own salt"
    assert is_password("linen warp 1887", hashed)
    assert not is_outdated(hashed)


@pytest.mark.parametrize("hashed", ["", "nonsense", "$argon2id$v=19$m=65536,t=3,p=4$cut"])
def test_nothing_is_the_password_of_a_hash_that_is_none(hashed: str) -> None:
    assert not is_password("", hashed)
    assert not is_password("nobody's password", hashed)
    assert not is_password("x" * (MAX_CHARACTERS + 1), hashed)
