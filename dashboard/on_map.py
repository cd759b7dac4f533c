"""A roll's defects as its charts take them: with what each is in words, where, and when it was seen."""

import pandas as pd

from dashboard import shell, words
from dashboard.stored_words import said
from storage.defects.geometry import CODES


def in_words(defects: pd.DataFrame) -> pd.DataFrame:
    """defects: of `RollMap.defects` those that are drawn, since words for ten thousand would take longer than all the
    rest; gains the columns says, place and when."""
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
