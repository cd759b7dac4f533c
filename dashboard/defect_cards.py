"""Defects as small pictures side by side, to look at, open and choose from."""

from collections.abc import Sequence

import streamlit as st

from dashboard import data, words
from dashboard.language import _
from dashboard.stored_words import said
from dashboard.theme import STATE_SIGNS
from storage.reads.defects import DefectItem
from storage.reads.pieces import Piece

CARD_PX = 132
PAGE_CARDS = 24


def card_grid(items: Sequence[DefectItem], *, name: str, choose: bool, notes: Sequence[str] = ()) -> None:
    """A picture, its facts and a way to open it, each; `choose`: with a box to tick. notes: one more line, each.

    What is ticked: `chosen_of`. A click on its number opens a defect (`open_defect`)."""
    with st.container(horizontal=True, gap="small"):
        for index, item in enumerate(items):
            with st.container(border=True, width=CARD_PX + 34, gap="xsmall"):
                if small := data.thumbnail(item):
                    st.image(small, width=CARD_PX, alt=_("Defect {id}", id=item.id))
                else:
                    st.caption(_("No picture was kept"))
                st.button(
                    f"{item.id} {STATE_SIGNS[item.state]}",
                    key=f"{name}.open.{item.id}",
                    type="tertiary",
                    help=_("Open this defect"),
                    on_click=open_defect,
                    args=(item.id,),
                )
                st.caption(
                    f"{words.state(item.state)}  \n{words.named(item)}, {said(item.severity)}  \n"
                    f"{words.strength(item.strength)} · {words.metres(item.y_mm)}"
                    + (f"  \n{notes[index]}" if notes else "")
                )
                if choose:
                    st.checkbox(_("Choose {id}", id=item.id), key=tick_key(name, item))


def tick_key(name: str, item: DefectItem) -> str:
    """Of the version that is shown: what somebody changed meanwhile is not ticked any more."""
    return f"{name}.tick.{item.id}.{item.version}"


def chosen_of(items: Sequence[DefectItem], *, name: str) -> dict[int, int | None]:
    """Ticked defects: number -> version."""
    return {item.id: item.version for item in items if st.session_state.get(tick_key(name, item))}


def open_defect(defect_id: int) -> None:
    st.query_params["defect"] = str(defect_id)
    st.query_params.pop("view", None)


def piece_grid(pieces: Sequence[Piece], *, name: str) -> list[tuple[int, int]]:
    """The pieces of a defect, to choose from; what is ticked."""
    ticked = []
    with st.container(horizontal=True, gap="small"):
        for number, piece in enumerate(pieces, start=1):
            with st.container(border=True, width=CARD_PX + 34, gap="xsmall"):
                if small := data.piece_thumbnail(piece.crop):
                    st.image(small, width=CARD_PX, alt=_("Piece {number}", number=number))
                else:
                    st.caption(_("No picture was kept"))
                length = words.millimetres(piece.y1_mm - piece.y0_mm)
                width = words.millimetres(piece.x1_mm - piece.x0_mm)
                st.caption(f"{words.plain(piece.camera)}  \n{length} × {width}")
                if st.checkbox(_("Piece {number}", number=number), key=f"{name}.{piece.key[0]}.{piece.key[1]}"):
                    ticked.append(piece.key)
    return ticked
