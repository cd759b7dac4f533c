"""A roll's defects as its charts take them: with what each is in words, where, and when it was seen."""

import pandas as pd
import streamlit as st

from dashboard import data, shell, words
from dashboard.language import language
from dashboard.stored_words import said
from dashboard.units import units
from storage.defects.geometry import CODES


def said_on_map(defects: pd.DataFrame) -> pd.DataFrame:
    """As `in_words`; ten thousand defects are not put into words at each click."""
    return _said(defects, language(), units().long, str(data.zone()))


@st.cache_resource(ttl=30, max_entries=20, show_spinner=False)
def _said(defects: pd.DataFrame, spoken: str, unit: str, zone: str) -> pd.DataFrame:
    return in_words(defects)


def in_words(defects: pd.DataFrame) -> pd.DataFrame:
    """defects: `RollMap.defects`; gains the columns says, place and when."""
    names = [
        words.code(code) if code in CODES else words.geometry(form)
        for code, form in zip(defects["code"], defects["geometry"], strict=True)
    ]
    severities = {each: said(each) for each in set(defects["severity"])}
    return defects.assign(
        says=[
            f"{name}, {severities[severity]}, {words.millimetres(size)}"
            for name, severity, size in zip(names, defects["severity"], defects["size_mm"], strict=True)
        ],
        place=[
            f"{words.metres(along)}, {words.millimetres(across)}"
            for along, across in zip(defects["y0_mm"], defects["x0_mm"], strict=True)
        ],
        when=shell.clocks(defects["captured_at"]),
    )
