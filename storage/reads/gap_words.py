"""Gaps and warnings as people read them: neighbours with one reason taken together, a code as words."""

from typing import Any

import pandas as pd

from inspection.types import REASONS, WARNINGS


def merge_gaps(gaps: pd.DataFrame, *, touch_mm: float = 1.0) -> pd.DataFrame:
    """Gaps of `RollMap.gaps` that follow each other on one camera with one reason become one, with their `count`."""
    if gaps.empty:
        return gaps.assign(count=0)
    merged: list[dict[str, Any]] = []
    for gap in gaps.sort_values(["camera", "y0_mm"]).to_dict("records"):
        last = merged[-1] if merged else None
        same = last is not None and (last["camera"], last["reason"]) == (gap["camera"], gap["reason"])
        if last is not None and same and gap["y0_mm"] - last["y1_mm"] <= touch_mm:
            last["y1_mm"] = max(last["y1_mm"], gap["y1_mm"])
            last["count"] += 1
        else:
            merged.append({str(key): value for key, value in gap.items()} | {"count": 1})
    return pd.DataFrame(merged).sort_values(["y0_mm", "camera"]).reset_index(drop=True)


def reason_in_words(reason: str) -> str:
    """A gap's reason code, optionally with ": detail", as a sentence part; an unknown code is shown as it is."""
    return _in_words(reason, REASONS)


def warning_in_words(warning: str) -> str:
    """The same for a camera's warning."""
    return _in_words(warning, WARNINGS)


def _in_words(text: str, known: dict[str, str]) -> str:
    code, _, detail = text.partition(":")
    words = known.get(code.strip(), code.strip().replace("_", " "))
    return f"{words} ({detail.strip()})" if detail.strip() else words
