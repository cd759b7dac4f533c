"""What lines, rolls and styles may be called: what pages, papers and files can show."""

from typing import Literal

from inspection.errors import StorageError

MOST_NAME = 120  # characters


def check_name(what: Literal["line", "roll", "style"], name: str) -> None:
    """Raises `StorageError`: too long, or with characters that nobody sees, such as those that turn the direction of
    what is written."""
    if len(name) > MOST_NAME or not name.isprintable():
        raise StorageError(f"the name of a {what} has at most {MOST_NAME} printable characters, got {name[:40]!r}")
