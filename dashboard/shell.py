"""What every page has: its frame with the operator's name, one line for an error, and filters in the address."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError

from dashboard import data, words
from dashboard.theme import LOGO, STATE_BADGES, STYLE
from inspection.errors import LoomwatchError, SchemaError
from storage.reads.review_state import State

log = logging.getLogger(__name__)


@contextmanager
def page(title: str) -> Iterator[None]:
    """The frame of a page. What a user can mend is said in one line, and the rest of the page is left away."""
    st.set_page_config(page_title=f"{title} · loomwatch", page_icon=":material/texture:", layout="wide")
    st.logo(LOGO)
    st.html(STYLE)
    with told():
        data.store()
        with st.sidebar:
            st.text_input(
                "Your name",
                value=data.OPERATOR,
                key="operator",
                max_chars=64,
                persist_state="session",
                help="Written beside every review, retraining and promotion.",
            )
            st.caption(f"Times are local: {data.zone()}")
        yield


@contextmanager
def told() -> Iterator[None]:
    """Turns an error into a line on the page and ends this run of it."""
    try:
        yield
    except SchemaError as error:
        st.error(words.plain(words.sentence(str(error))), icon=":material/database:")
        st.stop()
    except LoomwatchError as error:
        st.error(words.plain(words.sentence(str(error))), icon=":material/error:")
        st.stop()
    except SQLAlchemyError as error:
        log.exception("a question to the database failed")
        st.error(
            f"The database did not answer as expected ({type(error).__name__}): "
            "check it with loomwatch doctor; the dashboard's log has the details.",
            icon=":material/database:",
        )
        st.stop()


def clock(at: datetime) -> str:
    """Local time for the viewer."""
    return words.clock(at, zone=data.zone(), now=datetime.now(UTC))


def seconds_since(at: datetime) -> float:
    return (datetime.now(UTC) - at).total_seconds()


def state_badge(state: State) -> None:
    colour, symbol = STATE_BADGES[state]
    st.badge(words.STATE_WORDS[state], icon=symbol, color=colour)  # type: ignore[arg-type]


def select(
    label: str,
    name: str,
    options: Mapping[str, str],
    *,
    page: str,
    width: int | Literal["stretch"] = "stretch",
    bare: bool = False,
) -> str:
    """A select box whose choice lives in the address as `name`. options: address value -> words, the first is the
    default and is left out of the address. An address that names something else gets the default.
    `bare`: the label is for screen readers only."""
    keys = list(options)
    wanted = st.query_params.get(name, keys[0])
    chosen = st.selectbox(
        label,
        keys,
        index=keys.index(wanted) if wanted in options else 0,
        format_func=lambda key: options.get(key, key),
        key=f"{page}.{name}",
        width=width,
        label_visibility="collapsed" if bare else "visible",
    )
    remember(name, chosen, default=keys[0])
    return chosen


def remember(name: str, value: str, *, default: str = "") -> None:
    """Writes `value` into the address; the default is left out."""
    if value == default:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value


def address_number(name: str) -> int | None:
    """A whole number from the address; None when there is none or it is none."""
    text = st.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
