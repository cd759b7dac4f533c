"""Totals made anew from the rows: for a database that was filled without `storage.trends.totals`, in a few scans.

What was pruned is lost from the totals by it.
"""

from sqlalchemy import Connection, text

from storage.trends.drift import BINS_PER_UNIT, LAST_BIN
from storage.trends.totals import BAND_MM, KIND_SPANS, SPANS

SUMS = ("found", "confirmed", "rejected", "points_1000", "reviewed", "review_s")


def recount_totals(connection: Connection) -> None:
    """Replaces all totals by what the rows of frames, gaps and defects add up to."""
    for table in ("cloth_totals", "defect_totals", "band_totals", "score_totals"):
        connection.execute(text(f"DELETE FROM {table}"))
    for statement in recounts(connection.dialect.name):
        connection.execute(text(statement))


def recounts(dialect: str) -> list[str]:
    """The statements that fill empty totals."""
    lite = dialect == "sqlite"

    def seconds(column: str) -> str:
        """Whole ones since 1970, rounded down."""
        if lite:
            return f"CAST(strftime('%s', substr({column}, 1, 19)) AS INTEGER)"
        return f"floor(extract(epoch FROM {column}))::bigint"

    def whole(value: str) -> str:
        return f"CAST({value} + 0.5 AS INTEGER)" if lite else f"floor({value} + 0.5)::bigint"

    def down(value: str) -> str:
        return f"CAST({value} AS INTEGER)" if lite else f"trunc({value})::bigint"

    minute = f"{seconds('captured_at')} / 60"
    behind = (f"substr({column} || '.000000', 21, 6)" for column in ("reviewed_at", "captured_at"))  # microseconds
    waited = (
        f"{seconds('reviewed_at')} - {seconds('captured_at')} - ({' < '.join(behind)})"
        if lite
        else "trunc(extract(epoch FROM reviewed_at - captured_at))::bigint"
    )
    least = "max" if lite else "greatest"
    lower = "min" if lite else "least"
    sums = ", ".join(SUMS)
    counted = f"""
        1 AS found,
        CASE WHEN state = 'confirmed' THEN 1 ELSE 0 END AS confirmed,
        CASE WHEN state = 'rejected' THEN 1 ELSE 0 END AS rejected,
        CASE WHEN state = 'rejected' THEN 0 ELSE {whole("points * 1000")} END AS points_1000,
        CASE WHEN reviewed_at IS NULL THEN 0 ELSE 1 END AS reviewed,
        CASE WHEN reviewed_at IS NULL THEN 0 ELSE {least}(0, {waited}) END AS review_s
    """
    one = f"CAST(1 AS bigint) << CAST({minute} % 60 AS integer)"
    statements = []  # each record sets one bit, of its minute: different ones are added once each
    for span in KIND_SPANS:
        statements.append(
            f"""
            INSERT INTO defect_totals (line, span, start, camera, style, geometry, severity, code, {sums})
            SELECT line, {span}, minute - minute % {span}, camera, style, geometry, severity, code,
                {", ".join(f"sum({name})" for name in SUMS)}
            FROM (SELECT line, camera, style, geometry, severity, code, {minute} AS minute, {counted} FROM defects) AS d
            GROUP BY line, minute - minute % {span}, camera, style, geometry, severity, code
            """
        )
        if span not in SPANS:
            continue
        statements.append(
            f"""
            INSERT INTO cloth_totals
                (line, span, start, camera, style, frames, inspected_um, inspected_mm2, gap_um, {sums}, minutes)
            SELECT line, {span}, minute - minute % {span}, camera, style, sum(frames), sum(inspected_um),
                sum(inspected_mm2), sum(gap_um), {", ".join(f"sum({name})" for name in SUMS)}, sum(DISTINCT one)
            FROM (
                SELECT line, camera, style, {minute} AS minute, 1 AS frames,
                    {whole("length_mm * 1000")} AS inspected_um,
                    {whole("length_mm * fabric_width_mm")} AS inspected_mm2, 0 AS gap_um,
                    {", ".join(f"0 AS {name}" for name in SUMS)}, {one} AS one
                FROM frames
                UNION ALL
                SELECT line, camera, '', {minute}, 0, 0, 0, {whole("length_mm * 1000")},
                    {", ".join("0" for _ in SUMS)}, {one}
                FROM gaps
                UNION ALL
                SELECT line, camera, style, {minute}, 0, 0, 0, 0, {counted}, CAST(0 AS bigint) FROM defects
            ) AS records
            GROUP BY line, minute - minute % {span}, camera, style
            """
        )
    return [
        *statements,
        f"""
        INSERT INTO band_totals (line, day, style, band, found)
        SELECT line, {minute} / 1440, style, {least}(0, {down(f"(x0_mm + x1_mm) / 2 / {BAND_MM}")}), count(*)
        FROM defects
        WHERE state <> 'rejected' AND geometry <> 'full_width'
        GROUP BY 1, 2, 3, 4
        """,
        f"""
        INSERT INTO score_totals (line, camera, style, model, day, bin, frames)
        SELECT line, camera, style, model, {minute} / 1440,
            {lower}({LAST_BIN}, {least}(0, {down(f"score_p50 / threshold * {BINS_PER_UNIT}")})), count(*)
        FROM frames
        WHERE threshold > 0
        GROUP BY 1, 2, 3, 4, 5, 6
        """,
    ]
