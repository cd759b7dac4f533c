"""The dashboard's pages. Nothing else is here: each page is a file in `views/`."""

import streamlit as st

from dashboard import setup_data
from dashboard.language import _

line = st.Page("views/line.py", title=_("Line"), icon=":material/tv:", default=True)
set_up = st.Page("views/setup.py", title=_("Set up"), icon=":material/rocket_launch:")
page = st.navigation(
    [
        line,
        st.Page("views/live.py", title=_("Live"), icon=":material/sensors:"),
        st.Page("views/roll.py", title=_("Roll"), icon=":material/straighten:"),
        st.Page("views/review.py", title=_("Review"), icon=":material/fact_check:"),
        st.Page("views/trends.py", title=_("Trends"), icon=":material/trending_up:"),
        st.Page("views/reports.py", title=_("Reports"), icon=":material/description:"),
        st.Page("views/samples.py", title=_("Samples"), icon=":material/photo_library:"),
        st.Page("views/models.py", title=_("Models"), icon=":material/model_training:"),
        st.Page("views/system.py", title=_("System"), icon=":material/monitor_heart:"),
        *([set_up] if setup_data.is_offered() else []),
    ]
)
if page == line and setup_data.is_needed():  # there is no line to show yet
    st.switch_page(set_up)
page.run()
