"""The roll map on paper: the roll from left to right in rows, like a text, all of it at one scale.

Along and across are at the same scale while that leaves a row high enough to be read; on a long roll the width is
enlarged, and the caption says how much.
"""

import math
from dataclasses import dataclass
from typing import Any

from reportlab.lib import colors
from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from storage.grading.cloth import Cloth, ClothDefect, MissedStretch
from storage.grading.cut_plan import CutPlan
from storage.grading.points import DefectPoints
from storage.reports.language import _, figure
from storage.reports.paper import GOOD, INK, LINE, QUIET, SHADE

LOWEST, HIGHEST, LABELS, GAP = 8 * mm, 34 * mm, 3.6 * mm, 1.6 * mm  # of a row, its numbers, the space below them
NICE = [base * 10**power for power in range(6) for base in (1, 2, 2.5, 5)]
MARK = 1.1 * mm  # the smallest defect
SHADES = [colors.HexColor(c) for c in ("#F0B429", "#E8842A", "#D9482B", "#A3131B")]  # 1 to 4 points and more
MISSED = colors.HexColor("#8B929C")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapScale:
    """How a roll is laid out. `enlarged`: across over along, 1 is true to scale."""

    row_mm: float  # of cloth
    rows: int
    points_per_mm: float  # along
    height: float  # of a row, in points
    enlarged: float


def map_scale(*, length_mm: float, width_mm: float, unit_mm: float, width: float, height: float) -> MapScale:
    """The largest scale at which all rows fit into `height` points. Rows are whole, round numbers of units."""
    for nice in NICE:
        row_mm = nice * unit_mm
        rows = max(1, math.ceil(length_mm / row_mm - 1e-9))
        scale = width / row_mm
        row_height = min(max(width_mm * scale, LOWEST), HIGHEST)
        if rows * (row_height + LABELS + GAP) <= height:
            break
    return MapScale(
        row_mm=row_mm,
        rows=rows,
        points_per_mm=scale,
        height=row_height,
        enlarged=row_height / (width_mm * scale) if width_mm > 0 else 1.0,
    )


class RollMap(Flowable):  # type: ignore[misc]
    """Defects where they lie, coloured by their points; uninspected cloth hatched; numbers of the worst ones."""

    def __init__(
        self,
        cloth: Cloth,
        scored: tuple[DefectPoints, ...],
        numbered: dict[int, int],
        plan: CutPlan | None,
        *,
        unit_mm: float,
        unit: str,
        width: float,
        height: float,
    ) -> None:
        super().__init__()
        self.cloth, self.scored, self.numbered, self.plan = cloth, scored, numbered, plan
        self.unit_mm, self.unit = unit_mm, unit
        self.across_mm = max(cloth.fabric_width_mm, 1.0)
        self.scale = map_scale(
            length_mm=cloth.length_mm, width_mm=self.across_mm, unit_mm=unit_mm, width=width, height=height
        )
        self.width = width
        self.height = self.scale.rows * (self.scale.height + LABELS + GAP)

    def wrap(self, *_: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        canvas = self.canv
        for row in range(self.scale.rows):
            self._draw_row(canvas, row)
        for stretch in self.cloth.missed:
            self._draw_missed(canvas, stretch)
        if self.plan is not None and self.plan.worthwhile:
            self._draw_cuts(canvas, self.plan)
        for each in sorted(self.scored, key=lambda scored: (not scored.left_out, scored.points)):
            if each.left_out != "false_alarm":
                self._draw_defect(canvas, each)
        for each in self.scored:
            if each.defect.id in self.numbered:
                self._draw_number(canvas, each.defect, self.numbered[each.defect.id])

    def caption(self) -> str:
        """The scale in words."""
        along = self.scale.row_mm / self.unit_mm
        across = _("true to scale")
        if self.scale.enlarged >= 1.05:
            across = _("width enlarged {times} times", times=figure(self.scale.enlarged, ".1f"))
        elif self.scale.enlarged < 0.95:
            across = _("width reduced to {share} of the length's scale", share=figure(self.scale.enlarged, ".2f"))
        row = f"{figure(along, 'g')} {self.unit}"
        return _("Each row is {row} long, left selvedge at its bottom, {across}.", row=row, across=across)

    def _base(self, row: int) -> float:
        return float(self.height - (row + 1) * (self.scale.height + LABELS + GAP) + LABELS + GAP)

    def _y(self, row: int, x_mm: float) -> float:
        share = min(max(x_mm / self.across_mm, 0.0), 1.0)
        return self._base(row) + share * self.scale.height

    def _rows_of(self, y0_mm: float, y1_mm: float) -> list[tuple[int, float, float]]:
        """(row, from, to in points) of each row that a stretch of the roll lies in."""
        first = min(max(int(y0_mm / self.scale.row_mm + 1e-9), 0), self.scale.rows - 1)
        last = min(max(math.ceil(y1_mm / self.scale.row_mm - 1e-9) - 1, first), self.scale.rows - 1)
        found = []
        for row in range(first, last + 1):
            start, end = row * self.scale.row_mm, (row + 1) * self.scale.row_mm
            a, b = max(y0_mm, start) - start, min(y1_mm, end) - start
            found.append((row, a * self.scale.points_per_mm, max(a, b) * self.scale.points_per_mm))
        return found

    def _draw_row(self, canvas: Any, row: int) -> None:
        start = row * self.scale.row_mm
        length = min(self.scale.row_mm, self.cloth.length_mm - start) * self.scale.points_per_mm
        base = self._base(row)
        canvas.setFillColor(SHADE)
        canvas.setStrokeColor(LINE)
        canvas.setLineWidth(0.6)
        canvas.rect(0, base, length, self.scale.height, fill=1)
        canvas.setFont("Text", 5.5)
        canvas.setFillColor(QUIET)
        for tenth in range(11):
            x = self.width * tenth / 10
            if x > length + 0.1:
                break
            canvas.line(x, base, x, base - 1.5)
            text = figure((start + self.scale.row_mm * tenth / 10) / self.unit_mm, "g")
            if tenth == 0:
                canvas.drawString(x, base - 7.5, f"{text} {self.unit}")
            elif tenth == 10:
                canvas.drawRightString(x, base - 7.5, text)
            else:
                canvas.drawCentredString(x, base - 7.5, text)

    def _draw_missed(self, canvas: Any, stretch: MissedStretch) -> None:
        for row, a, b in self._rows_of(stretch.y0_mm, stretch.y1_mm):
            y0, y1 = self._y(row, stretch.x0_mm), self._y(row, stretch.x1_mm)
            canvas.saveState()
            path = canvas.beginPath()
            path.rect(a, y0, max(b - a, 0.8), y1 - y0)
            canvas.setFillColor(colors.HexColor("#DDE1E6"))
            canvas.clipPath(path, stroke=0, fill=1)
            canvas.setStrokeColor(MISSED)
            canvas.setLineWidth(0.4)
            height = y1 - y0
            for step in range(int((b - a + height) / 3) + 1):
                canvas.line(a - height + step * 3, y0, a + step * 3, y1)
            canvas.restoreState()

    def _draw_cuts(self, canvas: Any, plan: CutPlan) -> None:
        for piece in plan.pieces:
            for row, a, b in self._rows_of(piece.y0_mm, piece.y1_mm):
                canvas.setStrokeColor(GOOD if piece.first else QUIET)
                canvas.setLineWidth(1.6 if piece.first else 0.6)
                top = self._base(row) + self.scale.height + 1.4
                canvas.line(a, top, b, top)
        canvas.setStrokeColor(INK)
        canvas.setLineWidth(0.8)
        canvas.setDash(2, 1.5)
        for piece in plan.pieces[1:]:
            row, a, _end = self._rows_of(piece.y0_mm, piece.y0_mm)[0]
            canvas.line(a, self._base(row) - 1.5, a, self._base(row) + self.scale.height + 3)
        canvas.setDash()

    def _draw_defect(self, canvas: Any, each: DefectPoints) -> None:
        defect = each.defect
        most = max((score.points for score in each.scores), default=0.0)
        color = SHADES[min(int(most), 4) - 1] if most >= 1 else MISSED
        canvas.setFillColor(color)
        canvas.setStrokeColor(colors.white)
        canvas.setLineWidth(0.25)
        for row, a, b in self._rows_of(defect.y0_mm, defect.y1_mm):
            y0, y1 = self._y(row, defect.x0_mm), self._y(row, defect.x1_mm)
            w, h = max(b - a, MARK), max(y1 - y0, MARK)
            canvas.rect((a + b - w) / 2, (y0 + y1 - h) / 2, w, h, fill=1, stroke=int(w * h < 30))

    def _draw_number(self, canvas: Any, defect: ClothDefect, number: int) -> None:
        row, a, b = self._rows_of(defect.y0_mm, defect.y1_mm)[0]
        base = self._base(row)
        x = min(max((a + b) / 2 + 6, 4.0), self.width - 4)
        y = self._y(row, (defect.x0_mm + defect.x1_mm) / 2) + 5
        y = min(max(y, base + 4), base + self.scale.height - 4)
        canvas.setFillColor(colors.white)
        canvas.setStrokeColor(INK)
        canvas.setLineWidth(0.5)
        canvas.circle(x, y, 3.6, fill=1)
        canvas.setFillColor(INK)
        canvas.setFont("Text-Bold", 4.8)
        canvas.drawCentredString(x, y - 1.7, str(number))
