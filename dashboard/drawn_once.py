"""Parts of a page that are drawn once for everybody who looks: eight screens in a hall show the same."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import streamlit as st

from dashboard import data
from dashboard.language import language
from dashboard.units import units

P = ParamSpec("P")
KEPT = 50  # drawings, of different arguments and people
SHARE = 0.8  # of the time between two drawings of a screen


def drawn_once(*, kept_s: float = 0.0) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """For a drawing without widgets whose arguments say what it shows. For `kept_s`, else until a screen's next one is
    nearly due, Streamlit replays it to whoever sees it in the same words, units and times."""

    def kept(draw: Callable[P, None]) -> Callable[P, None]:
        def draw_for(seen: str, **named: Any) -> None:
            draw(**named)  # type: ignore[call-arg]

        # by this, and not by its own name and source, Streamlit tells it from another drawing
        draw_for.__qualname__ = f"{draw.__code__.co_filename}.{draw.__qualname__}"
        ttl = kept_s or SHARE * data.refresh_s()
        replayed = st.cache_resource(ttl=ttl, max_entries=KEPT, show_spinner=False)(draw_for)
        names = inspect.signature(draw).parameters
        data.DRAWINGS[draw_for.__qualname__] = replayed

        @wraps(draw)
        def draw_it(*arguments: P.args, **named: P.kwargs) -> None:
            # by name: else Streamlit looks up the names in the signature at each replay
            named.update(zip(names, arguments, strict=False))
            replayed(seen=f"{language()} {units().long} {data.zone()}", **named)

        return draw_it

    return kept
