"""The stores behind the screens, opened once a server."""

from dataclasses import dataclass

import streamlit as st

from inspection.settings import StoreSettings, load
from storage.database import Database, open_database
from storage.live import Live
from storage.pictures import PictureStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What the screens read from and write to."""

    settings: StoreSettings
    database: Database
    pictures: PictureStore
    live: Live


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """Opens the stores. Raises `LoomwatchError`: wrong settings, database away or of another version."""
    settings = load(StoreSettings)
    return Store(
        settings=settings,
        database=open_database(settings.database),
        pictures=PictureStore(settings.pictures),
        live=Live(settings.redis),
    )
