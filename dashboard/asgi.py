"""The server: Streamlit behind the door. Started by `dashboard.service` with Streamlit's own command line.

What the pages need is loaded before anybody asks for one.
"""

import importlib
import pkgutil

from starlette.middleware import Middleware
from streamlit.starlette import App

import dashboard
from dashboard.collection import keep_setting_aside
from dashboard.door import Door, routes

ENTRIES = ("app", "asgi", "served")  # what is run and not imported
OTHERS = ("scipy.stats",)  # that the page Trends loads when it is first asked for

for module in pkgutil.iter_modules(dashboard.__path__):
    if not module.ispkg and module.name not in ENTRIES:
        importlib.import_module(f"dashboard.{module.name}")
for other in OTHERS:
    importlib.import_module(other)
keep_setting_aside()

app = App("app.py", routes=routes, middleware=[Middleware(Door)])
