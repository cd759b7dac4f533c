"""What every page has: its frame with who is signed in, one line for an error, and filters in the address."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, Literal

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError
from streamlit.errors import StreamlitPageNotFoundError

from dashboard import data, language, signed_in, words
from dashboard.language import _
from dashboard.stored_sentences import told as told_by_stores
from dashboard.stored_words import said
from dashboard.theme import LOGO, STATE_BADGES, STYLE
from inspection.errors import LoomwatchError, SchemaError
from inspection.language import LANGUAGES
from storage.accounts.roles import Role
from storage.accounts.users import User
from storage.reads.review_state import State

log = logging.getLogger(__name__)

YEARS = (2000, 2100)  # of the days that a page can be asked for

# Nothing of anybody's goes into these
TO_SIGN_IN = "<script>window.location.replace('/sign-in')</script>"
TO_SIGN_IN_AND_BACK = (
    "<script>window.location.replace('/sign-in?next=' + "
    "encodeURIComponent(window.location.pathname + window.location.search) + '&ended')</script>"
)


@contextmanager
def page(title: str) -> Iterator[None]:
    """The frame of a page. What a user can mend is said in one line, and the rest of the page is left away."""
    st.set_page_config(page_title=f"{title} · loomwatch", page_icon=":material/texture:", layout="wide")
    st.logo(LOGO)
    st.html(STYLE)
    with told():
        signed_in.touch()
        with st.sidebar:
            _show_user()
            st.caption(_("Times of {zone}", zone=data.zone()))
        yield


@contextmanager
def told() -> Iterator[None]:
    """Turns an error into a line on the page and ends this run of it; as it does where nobody is signed in any more."""
    try:
        user = signed_in.user()
        if user is None:
            _show_way_in()
        language.choose(user)
        yield
    except SchemaError as error:
        st.error(words.plain(told_by_stores(str(error))), icon=":material/database:")
        st.stop()
    except LoomwatchError as error:
        st.error(words.plain(told_by_stores(str(error))), icon=":material/error:")
        st.stop()
    except SQLAlchemyError as error:
        log.exception("a question to the database failed")
        st.error(
            _(
                "The database did not answer as expected ({name}): check it with loomwatch doctor; "
                "the dashboard's log has the details.",
                name=type(error).__name__,
            ),
            icon=":material/database:",
        )
        st.stop()


def needs(least: Role) -> str | None:
    """For a widget's help, and whether to disable it: which role it needs, where the one who is signed in has not."""
    return None if signed_in.may(least) else _("Needs the role {role}", role=said(least))


def act_button(label: str, *, least: Role = "operator", disabled: bool = False, **more: Any) -> bool:
    """A button for an act, which whoever has a lesser role sees and cannot press. more: as `st.button` takes it."""
    needed, told = needs(least), more.pop("help", None)
    return st.button(label, disabled=disabled or needed is not None, help=needed or told, **more)


def way_to(page: str, label: str, *, icon: str, **query: str) -> None:
    """A link to another page of the dashboard. page: its file. A page that runs by itself knows of no others, and
    names them only."""
    try:
        st.page_link(page, label=label, icon=icon, query_params=query)
    except StreamlitPageNotFoundError:
        st.caption(label)


def _show_user() -> None:
    """Name, role and the way out."""
    user = signed_in.user()
    if user is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/person: **{words.plain(user.name)}**", width="content")
        st.badge(said(user.role), color="gray")
    with st.popover(_("Account"), icon=":material/tune:", width="stretch"):
        _show_preferences(user)
    if st.button(_("Sign out"), icon=":material/logout:", width="stretch"):
        signed_in.sign_out()
        st.html(TO_SIGN_IN, unsafe_allow_javascript=True)
        st.stop()


def _show_preferences(user: User) -> None:
    """Language and units of who is signed in."""
    codes, units = ["", *LANGUAGES], ["metric", "imperial"]
    st.selectbox(
        _("Language"),
        codes,
        index=codes.index(user.language) if user.language in codes else 0,
        format_func=lambda code: LANGUAGES.get(code, _("As the browser asks")),
        key="account.language",
        on_change=_keep_preferences,
    )
    names = {"metric": _("Metric (m, mm)"), "imperial": _("Imperial (yd, in)")}
    st.selectbox(
        _("Units"),
        units,
        index=units.index(user.units),
        format_func=names.__getitem__,
        key="account.units",
        on_change=_keep_preferences,
    )
    st.caption(_("Light or dark: in the menu at the top right."))
    if user.has_password:
        _show_password()


def _show_password() -> None:
    """Another one, for who knows the present one."""
    with st.form("account.password", border=False, clear_on_submit=True):
        old = st.text_input(_("Present password"), type="password", autocomplete="current-password")
        new = st.text_input(_("New password"), type="password", autocomplete="new-password")
        again = st.text_input(_("New password, again"), type="password", autocomplete="new-password")
        if not st.form_submit_button(_("Change password"), icon=":material/key:", width="stretch"):
            return
    if new != again:
        st.error(_("The two passwords are not the same."), icon=":material/error:")
        return
    try:
        data.change_password(old, new)
    except LoomwatchError as error:
        st.error(words.plain(told_by_stores(str(error))), icon=":material/error:")
    else:
        st.success(_("It holds from now on; wherever else you were signed in, you are out."), icon=":material/check:")


def _keep_preferences() -> None:
    data.set_preferences(st.session_state["account.language"], st.session_state["account.units"])
    language.choose(signed_in.user())


def _show_way_in() -> None:
    """The session ended while the page was open. The browser goes where it can sign in, and comes back here."""
    st.info(_("**You are not signed in any more.** One moment …"), icon=":material/logout:")
    st.html(TO_SIGN_IN_AND_BACK, unsafe_allow_javascript=True)
    st.stop()


def clock(at: datetime) -> str:
    """Local time for the viewer."""
    return clocks([at])[0]


def clocks(times: Iterable[datetime]) -> list[str]:
    """The same for many."""
    zone, now = data.zone(), datetime.now(UTC)
    return [words.clock(at, zone=zone, now=now) for at in times]


def seconds_since(at: datetime) -> float:
    return (datetime.now(UTC) - at).total_seconds()


def state_badge(state: State) -> None:
    colour, symbol = STATE_BADGES[state]
    st.badge(words.state(state), icon=symbol, color=colour)  # type: ignore[arg-type]


def state_in_text(state: State) -> str:
    """The same within a line of markdown."""
    colour, symbol = STATE_BADGES[state]
    return f":{colour}-badge[{symbol} {words.state(state)}]"


def numbers(*columns: str) -> dict[str, Any]:
    """For `column_config`: columns of figures that are written out, which stand right as numbers do."""
    return {name: st.column_config.TextColumn(alignment="right") for name in columns}


def select(
    label: str,
    name: str,
    options: Mapping[str, str],
    *,
    page: str,
    width: int | Literal["stretch"] = "stretch",
    bare: bool = False,
    always: bool = False,
    **more: Any,
) -> str:
    """A select box whose choice lives in the address as `name`. options: address value -> words, the first is the
    default and is left out of the address. An address that names something else gets the default.
    `bare`: the label is for screen readers only. always: the default is in the address too, as where it is another one
    tomorrow. more: as `st.selectbox` takes it."""
    keys = list(options)
    wanted = st.query_params.get(name, keys[0])
    chosen: str = st.selectbox(
        label,
        keys,
        index=keys.index(wanted) if wanted in options else 0,
        format_func=lambda key: options.get(key, key),
        key=f"{page}.{name}",
        width=width,
        label_visibility="collapsed" if bare else "visible",
        **more,
    )
    remember(name, chosen, default="" if always else keys[0])
    return chosen


def segments(label: str, name: str, options: Mapping[str, str], *, page: str, follows: bool = False) -> str:
    """As `select`, with all choices side by side; one is always chosen. label: for screen readers only.
    follows: what else the page does may change the address, and the choice follows."""
    keys = list(options)
    wanted = st.query_params.get(name, keys[0])
    chosen = st.segmented_control(
        label,
        keys,
        default=wanted if wanted in options else keys[0],
        required=True,
        format_func=lambda key: options.get(key, key),
        key=f"{page}.{name}.{wanted}" if follows else f"{page}.{name}",
        label_visibility="collapsed",
    )
    remember(name, chosen or keys[0], default=keys[0])
    return chosen or keys[0]


def remember(name: str, value: str, *, default: str = "") -> None:
    """Writes `value` into the address; the default is left out."""
    if value == default:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value


def address_day(name: str) -> date | None:
    """A day from the address; None when there is none, or one that no camera can have seen."""
    try:
        found = date.fromisoformat(st.query_params.get(name, ""))
    except ValueError:
        return None
    return found if YEARS[0] <= found.year <= YEARS[1] else None


def address_number(name: str) -> int | None:
    """A whole number from the address; None when there is none or it is none."""
    text = st.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
