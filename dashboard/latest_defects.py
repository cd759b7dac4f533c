"""The defects found last, each with its picture and a way to look at it."""

import streamlit as st

from dashboard import data, shell, words
from dashboard.drawn_once import drawn_once
from dashboard.language import _
from storage.reads.defects import DefectItem


@drawn_once()
def draw_latest_defects(limit: int, *, line: str = "", across: int = 3) -> None:
    """line: only its own. across: how many side by side."""
    latest = data.latest_defects(limit, line)
    st.subheader(_("Latest defects"), anchor=False)
    if not latest:
        st.caption(_("None found yet. Each one appears here as soon as it is stored."))
        return
    with st.grid(across, min_column_width=270):
        for item in latest:
            with st.container(border=True, horizontal=True, vertical_alignment="center", wrap=False):
                draw_latest(item)


def draw_latest(item: DefectItem) -> None:
    """In few elements: each is sent to each screen every second."""
    crop = data.thumbnail(item)
    if crop:
        st.image(crop, width=data.THUMBNAIL_PX, alt=_("Defect {id}", id=item.id))
    with st.container(gap="xsmall"):
        place = _(
            "{metres} along, {across} across  \n{camera}, {clock}",
            metres=words.metres(item.y_mm),
            across=words.millimetres(item.x_mm),
            camera=words.plain(item.camera),
            clock=shell.clock(item.captured_at),
        )
        strength = words.strength(item.strength).replace(" ", "\N{NO-BREAK SPACE}")
        lines = [f"{shell.state_in_text(item.state)} **{strength}**"]
        st.markdown("  \n".join([*lines, *(f":small[{line}]" for line in place.split("  \n"))]))
        shell.way_to("views/review.py", _("Look"), icon=":material/search:", defect=str(item.id), state="all")
