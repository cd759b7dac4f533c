"""Redis connections: short timeouts, and errors as one clear line without a password."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from inspection.errors import StorageError

ANSWER_S = 3.0


def connect(url: str, *, timeout_s: float = ANSWER_S) -> redis.Redis:
    """A client that connects when first used and tries each command once. Raises `StorageError` for a wrong URL."""
    try:
        return redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise StorageError(
            f"the Redis URL {place(url)} cannot be read: write redis://HOST:PORT or unix://PATH"
        ) from error


def place(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def errors_explained(url: str) -> Iterator[None]:
    """Turns Redis' errors into one `StorageError`."""
    try:
        yield
    except redis.RedisError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise StorageError(f"Redis at {place(url)}: {reason}: check that it runs and the Redis URL is right") from error
