"""A table to take away, as spreadsheets open it: with the mark by which they know UTF-8, and nothing that they run."""

import pandas as pd

from storage.reports.sheets import harmless


def csv_of(table: pd.DataFrame) -> bytes:
    """Without its index."""
    return table.map(harmless).to_csv(index=False).encode("utf-8-sig")
