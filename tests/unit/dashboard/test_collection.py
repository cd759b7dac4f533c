"""Garbage collection in the dashboard's server."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from dashboard.collection import set_aside


class Session:
    """Part of a cycle, as a page's session is."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def nothing_set_aside() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_has_lasted_is_not_looked_at_by_later_collections() -> None:
    set_aside()
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < gc.get_freeze_count()


def test_what_became_garbage_since_goes_with_the_next() -> None:
    session = Session()
    seen = weakref.ref(session)
    set_aside()
    del session
    gc.collect()
    assert seen() is not None  # it was set aside
    set_aside()
    assert seen() is None
