"""The defects found last, each with its picture and a way to look at it."""

import streamlit as st

from dashboard import data, shell, words
from dashboard.language import _
from storage.reads.defects import DefectItem


def draw_latest_defects(limit: int) -> None:
    latest = data.latest_defects(limit)
    st.subheader(_("Latest defects"), anchor=False)
    if not latest:
        st.caption(_("None found yet. Each one appears here as soon as it is stored."))
        return
    with st.grid(3, min_column_width=270):
        for item in latest:
            with st.container(border=True, horizontal=True, vertical_alignment="center", wrap=False):
                draw_latest(item)


def draw_latest(item: DefectItem) -> None:
    """In few elements: each is sent to each screen every second."""
    crop = data.thumbnail(item)
    if crop:
        st.image(crop, width=data.THUMBNAIL_PX, alt=_("Defect {id}", id=item.id))
    with st.container(gap="xsmall"):
        strength = words.strength(item.strength).replace(" ", "\N{NO-BREAK SPACE}")
        seen = f"{words.plain(item.camera)}, {shell.clock(item.captured_at)}"
        st.markdown(
            f"{shell.state_in_text(item.state)} **{strength}**  \n:small[{words.place(item)}]  \n:small[{seen}]"
        )
        shell.way_to("views/review.py", _("Look"), icon=":material/search:", defect=str(item.id), state="all")
