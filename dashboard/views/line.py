"""Line: the wall screen. The cloth as it runs, the roll as it grows, and what needs somebody, legible from afar."""

import streamlit as st

from dashboard import alarm_list, data, shell, words
from dashboard.language import _
from dashboard.wall import show_wall

ALARMS = 3  # in one row, so that the map below still fits on a wall screen


def show_page() -> None:
    """One line of the plant, the address says which."""
    lines = sorted({camera.line for camera in data.cameras()})
    if not lines:
        st.title(_("Line"), anchor=False)
        st.fragment(show_nothing_yet, run_every=data.refresh_s())()
        return
    line = (
        shell.select(_("Line"), "line", {name: name for name in lines}, page="line", width=320, bare=True)
        if len(lines) > 1
        else lines[0]
    )
    st.title(words.plain(line), anchor=False)
    st.fragment(show_line, run_every=data.refresh_s())(line)


def show_line(line: str) -> None:
    """All of the screen, as one part that is redrawn in place: what a part costs beside its content comes once."""
    with shell.told():
        alarm_list.show_alarms(line=line, limit=ALARMS, across=ALARMS)
        show_wall(line)


def show_nothing_yet() -> None:
    """Until the first camera delivers."""
    with shell.told():
        if data.cameras():
            st.rerun()
        st.info(
            _(
                "**No camera has delivered anything yet.** Start the cameras (loomwatch ingest, or "
                "loomwatch demo to try it with simulated cloth). They appear here by themselves."
            ),
            icon=":material/videocam:",
        )


with shell.page(_("Line")):
    show_page()
