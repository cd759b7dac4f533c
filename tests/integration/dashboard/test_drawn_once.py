"""A drawing that is kept is the same for who sees it in the same words, and another's for nobody."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import data
from inspection.settings import StoreSettings

pytestmark = pytest.mark.integration
DRAWN: list[tuple[str, str]] = []


def screen(spoken: str, line: str) -> AppTest:
    """A page that draws once what `line` is, before somebody who speaks this language."""

    def page(spoken: str, line: str) -> None:
        import streamlit as st

        from dashboard.drawn_once import drawn_once
        from dashboard.language import _, speaking
        from tests.integration.dashboard.test_drawn_once import DRAWN

        @drawn_once(kept_s=600.0)
        def draw(line: str) -> None:
            DRAWN.append((spoken, line))
            with st.container():
                st.caption(f"{line}: {_('Defects')}")

        with speaking(spoken):
            draw(line)

    return AppTest.from_function(page, args=(spoken, line), default_timeout=60).run()


@pytest.fixture(autouse=True)
def _nothing_kept(store: StoreSettings) -> None:
    DRAWN.clear()
    data.forget_reads()


def said(page: AppTest) -> list[str]:
    assert not page.exception
    return [caption.value for caption in page.caption]


def test_who_looks_second_sees_what_was_drawn_for_the_first() -> None:
    assert said(screen("en", "line-1")) == said(screen("en", "line-1")) == ["line-1: Defects"]
    assert DRAWN == [("en", "line-1")]


def test_another_line_and_another_language_are_drawn_anew() -> None:
    assert said(screen("en", "line-1")) == ["line-1: Defects"]
    assert said(screen("en", "line-2")) == ["line-2: Defects"]
    assert said(screen("de", "line-1")) == ["line-1: Fehler"]
    assert DRAWN == [("en", "line-1"), ("en", "line-2"), ("de", "line-1")]


def test_after_an_act_it_is_drawn_anew() -> None:
    screen("en", "line-1")
    data.forget_reads()
    screen("en", "line-1")
    assert len(DRAWN) == 2
