"""A roll's defects as its charts take them: with what each is in words, and when it was seen."""

import pandas as pd

from dashboard import shell, words
from dashboard.stored_words import said
from storage.defects.geometry import CODES


def said_on_map(defects: pd.DataFrame) -> pd.DataFrame:
    """defects: `RollMap.defects`; gains the columns says and when."""
    names = [
        words.code(code) if code in CODES else words.geometry(form)
        for code, form in zip(defects["code"], defects["geometry"], strict=True)
    ]
    says = [
        f"{name}, {said(severity)}, {words.millimetres(size)}"
        for name, severity, size in zip(names, defects["severity"], defects["size_mm"], strict=True)
    ]
    return defects.assign(says=says, when=[shell.clock(at) for at in defects["captured_at"]])
