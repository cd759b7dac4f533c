"""Defects of known place and kind, woven into a cloth or drawn over it, the same for the same seed.

A broken end and a mispick are changes of the binding, made while it is woven (`cloth.py`); the others are drawn over
the woven cloth. Names are those of the trade.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.cloth_noise import bell, uniform
from ingest.cloth_styles import Style

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]  # (3, H, W), grey levels

KINDS = ("broken_end", "mispick", "slub", "hole", "oil_stain", "knot")
CELL_MM = 1000.0  # defects are drawn by lot for every metre of the roll
LONGEST_MM = 420.0
MOST_A_METRE = 100
CLEAR_MM = 6.0  # between a defect's middle and the selvedges


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDefect:
    """Where a defect can be seen, [x0, x1) from the left fabric edge, [y0, y1) along the roll. `number` is its own."""

    kind: str
    x0_mm: float
    x1_mm: float
    y0_mm: float
    y1_mm: float
    number: int


def plan_defects(
    key: int, y0_mm: float, y1_mm: float, *, per_m: float, fabric_mm: float, bow_mm: tuple[float, float], style: Style
) -> list[KnownDefect]:
    """The defects that touch [y0_mm, y1_mm). `bow_mm`: least and most of how far picks run ahead across the width."""
    found = []
    for cell in range(int((y0_mm - LONGEST_MM) // CELL_MM), int(y1_mm // CELL_MM) + 1):
        count = int(np.floor(per_m * CELL_MM / 1000.0 + uniform(key, "count", np.array([cell]))[0]))
        numbers = cell * MOST_A_METRE + np.arange(count)
        for number in numbers.tolist():
            defect = _plan(key, number, cell * CELL_MM, fabric_mm, bow_mm, style)
            if defect.y0_mm < y1_mm and defect.y1_mm > y0_mm:
                found.append(defect)
    return sorted(found, key=lambda defect: defect.y0_mm)


def _plan(
    key: int, number: int, cell_mm: float, fabric_mm: float, bow_mm: tuple[float, float], style: Style
) -> KnownDefect:
    lots = uniform(key, "plan", number * 8 + np.arange(8)).tolist()
    # Every metre starts the list of kinds elsewhere, so that a few metres show all of them.
    kind = KINDS[(number % MOST_A_METRE + int(lots[0] * len(KINDS))) % len(KINDS)]
    y_mm = cell_mm + lots[1] * CELL_MM
    clear_mm = min(CLEAR_MM, fabric_mm / 3)
    x_mm = clear_mm + lots[2] * (fabric_mm - 2 * clear_mm)
    if kind == "broken_end":
        end = round(x_mm / style.end_mm)
        length_mm = 60.0 + 340.0 * lots[3]
        return KnownDefect(
            kind=kind,
            x0_mm=(end - 0.15) * style.end_mm,
            x1_mm=(end + 1.15) * style.end_mm,
            y0_mm=y_mm,
            y1_mm=y_mm + length_mm,
            number=number,
        )
    if kind == "mispick":
        pick = round(y_mm / style.pick_mm)
        return KnownDefect(
            kind=kind,
            x0_mm=0.0,
            x1_mm=fabric_mm,
            y0_mm=(pick - 0.15) * style.pick_mm - bow_mm[1],
            y1_mm=(pick + 1.15) * style.pick_mm - bow_mm[0],
            number=number,
        )
    width_mm, height_mm = {
        "slub": (12.0 + 26.0 * lots[3], 1.5 + 1.1 * lots[4]),
        "hole": (2.6 + 5.0 * lots[3], 2.6 + 5.0 * lots[3]),
        "oil_stain": (7.0 + 18.0 * lots[3], 7.0 + 24.0 * lots[4]),
        "knot": (4.0 + 2.0 * lots[3], 4.0 + 2.0 * lots[3]),
    }[kind]
    width_mm = min(width_mm, fabric_mm - 1.0)
    x0_mm = min(max(x_mm - width_mm / 2, 0.5), fabric_mm - width_mm - 0.5)
    return KnownDefect(
        kind=kind, x0_mm=x0_mm, x1_mm=x0_mm + width_mm, y0_mm=y_mm, y1_mm=y_mm + height_mm, number=number
    )


def draw_defect(
    planes: Planes, defect: KnownDefect, key: int, y_mm: Floats, x_mm: Floats, *, yarn: Floats, ground: float
) -> None:
    """Draws one defect over a block of woven cloth, in place; for kinds of the binding itself, nothing.

    planes: (3, H, W) at lines `y_mm` and columns `x_mm`. yarn: (3,) colour of the cloth's picks; ground: grey level of
    what is seen through a hole.
    """
    place = place_of(defect, y_mm, x_mm)
    if place is None or defect.kind not in _DRAWN:
        return
    rows, columns = place
    patch = planes[:, rows, columns]
    y, x = y_mm[rows][:, None], x_mm[columns][None, :]
    cover = cover_of(defect, key, y, x).astype(np.float32)
    if defect.kind == "slub":
        middle, half = (defect.y0_mm + defect.y1_mm) / 2, (defect.y1_mm - defect.y0_mm) / 2
        round_ = np.sqrt(np.maximum(1 - ((y - middle) / half) ** 2, 0.0)) - 0.35 * (y - middle) / half
        fibre = 1 + 0.06 * np.sin(9.0 * x + 3.0 * np.sin(0.7 * x + defect.number))
        _paint(patch, 0.9 * cover, yarn[:, None, None] * (0.6 + 0.65 * round_ * fibre))
    elif defect.kind == "knot":
        middle_y, middle_x = (defect.y0_mm + defect.y1_mm) / 2, (defect.x0_mm + defect.x1_mm) / 2
        slope = -((y - middle_y) + (x - middle_x)) / (defect.x1_mm - defect.x0_mm)
        _paint(patch, 0.9 * cover, yarn[:, None, None] * (1.1 + 1.3 * slope) + 12.0)
    elif defect.kind == "hole":
        threads = _threads(defect, key, y, x)
        _paint(patch, cover, np.full((3, 1, 1), 0.25 * ground + 10.0))
        _paint(patch, (0.85 * threads).astype(np.float32), yarn[:, None, None] * 0.9)
    else:  # an oil stain darkens most what is bright, and blue more than red
        strength = 0.2 + 0.16 * uniform(key, "oil", np.array([defect.number]))[0]
        patch *= 1 - cover * (strength * np.array([0.85, 1.0, 1.25]))[:, None, None].astype(np.float32)


def cover_of(defect: KnownDefect, key: int, y: Floats, x: Floats) -> Floats:
    """How much of each place, y (H, 1) by x (1, W) in mm, a drawn defect covers: 0 to 1, 0 outside its box."""
    half_x, half_y = (defect.x1_mm - defect.x0_mm) / 2, (defect.y1_mm - defect.y0_mm) / 2
    right, down = (x - defect.x0_mm) / half_x - 1, (y - defect.y0_mm) / half_y - 1  # -1 to 1 within the box
    if defect.kind == "slub":
        thick = np.sqrt(np.maximum(1 - right**2, 0.0))
        return np.asarray(np.clip((thick - np.abs(down)) * 4, 0, 1))
    if defect.kind == "knot":
        body = np.clip((0.5 - np.hypot(right, down)) * 5, 0, 1)
        return np.maximum(body, _tails(defect, key, right, down))
    radius = np.hypot(right, down) / _outline(defect, key, np.arctan2(down, right))
    if defect.kind == "hole":
        return np.clip((1 - radius) * half_x / 0.25, 0, 1)
    fade = np.clip((1 - radius) / 0.45, 0, 1)
    return fade * fade * (3 - 2 * fade)


def _outline(defect: KnownDefect, key: int, angle: Floats) -> Floats:
    """Radius of an irregular blob by angle, at most 1."""
    shape = bell(key, "outline", defect.number * 8 + np.arange(8))
    waves = [shape[2 * k] * np.cos((k + 1) * angle) + shape[2 * k + 1] * np.sin((k + 1) * angle) for k in range(1, 4)]
    return np.asarray(np.clip(0.82 + 0.07 * (waves[0] + waves[1] + 0.7 * waves[2]), 0.4, 1.0))


def _threads(defect: KnownDefect, key: int, y: Floats, x: Floats) -> Floats:
    """Loose yarn ends that stick out into a hole."""
    out = np.zeros(np.broadcast_shapes(y.shape, x.shape))
    middle_y, middle_x = (defect.y0_mm + defect.y1_mm) / 2, (defect.x0_mm + defect.x1_mm) / 2
    half = (defect.x1_mm - defect.x0_mm) / 2
    lots = uniform(key, "threads", defect.number * 32 + np.arange(32))
    for thread in range(7):
        angle, reach, bend = 2 * np.pi * lots[4 * thread], lots[4 * thread + 1], lots[4 * thread + 2] - 0.5
        start = np.array([np.cos(angle), np.sin(angle)]) * 0.85 * half
        end = start * (0.75 - 0.65 * reach) + bend * half * np.array([-np.sin(angle), np.cos(angle)])
        out = np.maximum(out, _capsule(x - middle_x, y - middle_y, start, end, thick_mm=0.22))
    return out


def _tails(defect: KnownDefect, key: int, right: Floats, down: Floats) -> Floats:
    out = np.zeros(np.broadcast_shapes(right.shape, down.shape))
    for tail, lot in enumerate(uniform(key, "tails", defect.number * 2 + np.arange(2))):
        angle = np.pi * (tail + 0.15 + 0.7 * lot)
        end = 0.85 * np.array([np.cos(angle), np.sin(angle)])
        out = np.maximum(out, 0.8 * _capsule(right, down, np.zeros(2), end, thick_mm=0.12))
    return out


def _capsule(x: Floats, y: Floats, start: Floats, end: Floats, *, thick_mm: float) -> Floats:
    """1 within `thick_mm` of the segment from `start` to `end`, fading to 0 at twice that."""
    along = end - start
    part = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(along @ along, 1e-9), 0, 1)
    distance = np.hypot(x - start[0] - part * along[0], y - start[1] - part * along[1])
    return np.asarray(np.clip(2 - distance / thick_mm, 0, 1))


def _paint(patch: Planes, cover: Planes, colour: Floats) -> None:
    patch += cover * (colour.astype(np.float32) - patch)


def place_of(defect: KnownDefect, y_mm: Floats, x_mm: Floats) -> tuple[slice, slice] | None:
    """Rows and columns inside a defect's box, None when it lies elsewhere."""
    rows = slice(*np.searchsorted(y_mm, (defect.y0_mm, defect.y1_mm)).tolist())
    columns = slice(*np.searchsorted(x_mm, (defect.x0_mm, defect.x1_mm)).tolist())
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


_DRAWN = frozenset(("slub", "hole", "oil_stain", "knot"))
