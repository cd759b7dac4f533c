"""The dashboard's pages. Nothing else is here: each page is a file in `views/`."""

import streamlit as st

from dashboard.language import _

st.navigation(
    [
        st.Page("views/line.py", title=_("Line"), icon=":material/tv:", default=True),
        st.Page("views/live.py", title=_("Live"), icon=":material/sensors:"),
        st.Page("views/roll.py", title=_("Roll"), icon=":material/straighten:"),
        st.Page("views/review.py", title=_("Review"), icon=":material/fact_check:"),
        st.Page("views/trends.py", title=_("Trends"), icon=":material/trending_up:"),
        st.Page("views/reports.py", title=_("Reports"), icon=":material/description:"),
        st.Page("views/samples.py", title=_("Samples"), icon=":material/photo_library:"),
        st.Page("views/models.py", title=_("Models"), icon=":material/model_training:"),
        st.Page("views/system.py", title=_("System"), icon=":material/monitor_heart:"),
    ]
).run()
