"""Passwords: argon2id (RFC 9106, the profile for little memory), and what is taken as one.

Length instead of rules about kinds of characters, as NIST SP 800-63B has it.
"""

import threading
from functools import cache

from argon2 import PasswordHasher, profiles
from argon2.exceptions import InvalidHashError, VerificationError

from inspection.errors import SettingsError

MIN_CHARACTERS = 10
MAX_CHARACTERS = 256  # more is no password but a way to keep the server busy

_hasher = PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY)
_at_once = threading.Semaphore(2)  # each takes 64 MiB and all of a core for a moment


def check_password(password: str, *, name: str) -> None:
    """Raises `SettingsError`, which never quotes it."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise SettingsError(f"the password must have {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
    if len(set(password)) < 4 or password.casefold() in (name.casefold(), name.casefold() * 2):
        raise SettingsError("the password is too easy to guess: take a few words that do not belong together")


def hash_password(password: str) -> str:
    with _at_once:
        return _hasher.hash(password)


def is_password(password: str, hashed: str) -> bool:
    """Whether `hashed` was made of `password`. Takes as long where there is none to compare with ("")."""
    if len(password) > MAX_CHARACTERS:
        return False
    with _at_once:
        try:
            return _hasher.verify(hashed or _nobodys(), password) and bool(hashed)
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(hashed: str) -> bool:
    """Whether it was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(hashed)


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody's password")
