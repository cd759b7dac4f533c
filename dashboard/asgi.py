"""The server: Streamlit behind the door. Started by `dashboard.service` with Streamlit's own command line."""

from starlette.middleware import Middleware
from streamlit.starlette import App

from dashboard.door import Door, routes

app = App("app.py", routes=routes, middleware=[Middleware(Door)])
