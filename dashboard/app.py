"""The dashboard's pages. Nothing else is here: each page is a file in `views/`."""

import streamlit as st

st.navigation(
    [
        st.Page("views/line.py", title="Line", icon=":material/tv:", default=True),
        st.Page("views/live.py", title="Live", icon=":material/sensors:"),
        st.Page("views/roll.py", title="Roll", icon=":material/straighten:"),
        st.Page("views/review.py", title="Review", icon=":material/fact_check:"),
        st.Page("views/trends.py", title="Trends", icon=":material/trending_up:"),
        st.Page("views/reports.py", title="Reports", icon=":material/description:"),
        st.Page("views/models.py", title="Models", icon=":material/model_training:"),
        st.Page("views/system.py", title="System", icon=":material/monitor_heart:"),
    ]
).run()
