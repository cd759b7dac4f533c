"""Woven cloth as a line-scan camera sees it, a pure function of style, seed and place.

    where the yarns lie -> one lit repeat of the binding, looked up by every pixel -> shades of the single yarns,
    colours -> defects -> selvedge and what lies beside it -> light, noise

Geometry is in mm and becomes pixels last. Lines are drawn in blocks at fixed places of the roll, so that a place looks
the same however it is cut into frames. x = 0 is the left fabric edge; the selvedge wavers by about 1 mm around it.
"""

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.cloth_defects import KnownDefect, cover_of, draw_defect, place_of, plan_defects
from ingest.cloth_noise import bell, smooth, uniform
from ingest.cloth_styles import STYLES
from ingest.cloth_weave import CELL, lit_repeat, yarn_bounds
from inspection.types import Mask, Pixels

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

BLOCK_LINES = 128
FINE = 8  # steps a pixel in which picks are looked up
BANK_LINES = 1024  # of noise, then it repeats, moved sideways
BANK_SPARE_PX = 256
SEEN = 0.3  # cover above which a defect's mask counts a pixel


class Cloth:
    """A roll of a style. The camera sees `width_mm`: the fabric, and `margin_mm` of background to each side of it."""

    def __init__(
        self,
        style: str,
        *,
        seed: int,
        mm_per_px: float,
        width_mm: float = 204.8,
        margin_mm: float = 9.0,
        defects_per_m: float = 1.0,
    ) -> None:
        self.name = style
        self.style = STYLES[style]
        self.mm_per_px = mm_per_px
        self.width_px = max(round(width_mm / mm_per_px), 1)
        self.margin_mm = margin_mm
        self.fabric_mm = self.width_px * mm_per_px - 2 * margin_mm
        self.defects_per_m = defects_per_m
        self._key = seed * 64 + sorted(STYLES).index(style)
        self._drawn: tuple[int, Pixels] | None = None
        self._x_mm: Floats = np.asarray((np.arange(self.width_px) + 0.5) * mm_per_px - margin_mm, np.float64)
        self._lay_ends()
        self._lay_picks()
        self._repeat, self._ends_on_top = lit_repeat(
            self.style,
            pick_blur=0.35 * CELL * mm_per_px / self.style.pick_mm,
            end_blur=0.35 * CELL * mm_per_px / self.style.end_mm,
        )
        across = np.linspace(-1, 1, self.width_px)
        self._light = (1.02 - 0.05 * across**2 + 0.025 * across).astype(np.float32)

    def lines(self, first: int, count: int) -> Pixels:
        """(count, width_px, 3) RGB, from line `first` of the roll."""
        parts = []
        for block in range(first // BLOCK_LINES, -(-(first + count) // BLOCK_LINES)):
            if self._drawn is None or self._drawn[0] != block:
                self._drawn = (block, self._draw(block))
            start = block * BLOCK_LINES
            parts.append(self._drawn[1][max(first - start, 0) : first + count - start])
        return np.concatenate(parts)

    def defects(self, y0_mm: float, y1_mm: float) -> list[KnownDefect]:
        """Those that touch [y0_mm, y1_mm) of the roll, by place."""
        return plan_defects(
            self._key,
            y0_mm,
            y1_mm,
            per_m=self.defects_per_m,
            fabric_mm=self.fabric_mm,
            bow_mm=self._bow_range_mm,
            style=self.style,
        )

    def mask(self, first: int, count: int) -> Mask:
        """(count, width_px) which pixels of the fabric belong to a defect."""
        y_mm = self._y_mm(first, count)
        mask = np.zeros((count, self.width_px), np.bool_)
        for defect in self.defects(float(y_mm[0]), float(y_mm[-1])):
            if defect.kind == "broken_end":
                lines = (y_mm >= defect.y0_mm) & (y_mm < defect.y1_mm)
                mask[np.ix_(lines, self._end == self._end_of(defect))] = True
            elif defect.kind == "mispick":
                lowest, highest = yarn_bounds(
                    self._key, "pick", self._pick_of(defect), 2, spacing_mm=self.style.pick_mm
                )
                ahead = y_mm[:, None] + self._bow_mm[None, :]
                mask |= (ahead >= lowest) & (ahead < highest)
            elif (place := place_of(defect, y_mm, self._x_mm)) is not None:
                rows, columns = place
                mask[place] |= cover_of(defect, self._key, y_mm[rows][:, None], self._x_mm[columns][None, :]) > SEEN
        left, right = self._selvedges(y_mm)
        return mask & (self._x_mm >= left[:, None]) & (self._x_mm < right[:, None])

    def edges(self, first: int, count: int) -> tuple[int, int]:
        """Columns [left, right) that are fabric in all of these lines."""
        left, right = self._selvedges(self._y_mm(first, count))
        return (
            int(np.searchsorted(self._x_mm, left.max())),
            int(np.searchsorted(self._x_mm, right.min())),
        )

    # How the yarns lie

    def _lay_ends(self) -> None:
        """Which end each column is on, and where in the repeat. Ends run straight: they are under tension."""
        first = int(np.floor(self._x_mm[0] / self.style.end_mm)) - 2
        count = int(np.ceil((self._x_mm[-1] - self._x_mm[0]) / self.style.end_mm)) + 5
        bounds = yarn_bounds(self._key, "end", first, count, spacing_mm=self.style.end_mm)
        at = np.searchsorted(bounds, self._x_mm, side="right") - 1
        self._end = at + first
        place = (self._x_mm - bounds[at]) / (bounds[at + 1] - bounds[at])
        repeat = self.style.woven.shape[1]
        self._end_sample = ((self._end % repeat) * CELL + (place * CELL).astype(np.int64)).astype(np.int32)
        self._ends = np.arange(self._end[0], self._end[-1] + 1)
        self._end_shade = self.style.yarn_spread * bell(self._key, "endshade", self._ends)
        self._end_colour = _stripes(self.style.ends, self._end).T.astype(np.float32)  # (3, W)

    def _lay_picks(self) -> None:
        """How far the picks run ahead in each column: a little askew and bowed, as finishing leaves them."""
        tilt, bow = (0.45 * bell(self._key, "bow", np.arange(2))).tolist()

        def ahead(across: Floats) -> Floats:  # -1 at the left fabric edge, 1 at the right one
            return np.asarray(self.fabric_mm / 200 * (tilt * across + bow * across**2))  # 200 mm wide: some 0.5 mm

        self._bow_mm = ahead(self._x_mm / self.fabric_mm * 2 - 1)
        within = ahead(np.linspace(-1.01, 1.01, 203))
        self._bow_range_mm = float(within.min()), float(within.max())
        steps = np.round(self._bow_mm * FINE / self.mm_per_px).astype(np.int64)
        self._least_step = int(steps.min())
        self._look_up = (FINE * np.arange(BLOCK_LINES)[:, None] + (steps - self._least_step)).astype(np.int32)
        self._columns = np.arange(self.width_px, dtype=np.int32)
        # Weights of the shades given along a pick every `yarn_change_mm`.
        place = (self._x_mm - self._x_mm[0]) / self.style.yarn_change_mm
        nodes = np.arange(int(place[-1]) + 2)
        part = np.clip(1 - np.abs(place[None, :] - nodes[:, None]), 0, 1)
        self._pick_weights = (part * part * (3 - 2 * part)).astype(np.float32)  # (nodes, W)

    def _end_of(self, defect: KnownDefect) -> int:
        return round((defect.x0_mm + defect.x1_mm) / 2 / self.style.end_mm - 0.5)

    def _pick_of(self, defect: KnownDefect) -> int:
        return round((defect.y0_mm + self._bow_range_mm[1]) / self.style.pick_mm + 0.15)

    def _y_mm(self, first: int, count: int) -> Floats:
        return np.asarray((np.arange(first, first + count) + 0.5) * self.mm_per_px, np.float64)

    def _selvedges(self, y_mm: Floats) -> tuple[Floats, Floats]:
        if not self.margin_mm:
            return np.full_like(y_mm, -np.inf), np.full_like(y_mm, np.inf)

        def waver(side: str) -> Floats:
            slow = smooth(self._key, side + "slow", y_mm, period=90.0)
            return 0.38 * slow + 0.12 * smooth(self._key, side + "fast", y_mm, period=7.0)

        return waver("left"), self.fabric_mm + waver("right")

    # How they look

    @cached_property
    def _sensor(self) -> Planes:
        return 1.7 * self._random_bank(0)

    @cached_property
    def _fibre(self) -> Planes:
        fibre = np.asarray(cv2.GaussianBlur(self._random_bank(1), (0, 0), sigmaX=0.8, sigmaY=0.8), np.float32)
        return np.asarray(0.055 / fibre.std() * fibre + 1, np.float32)

    def _random_bank(self, number: int) -> Planes:
        random = np.random.default_rng((self._key, number))
        return random.standard_normal((BANK_LINES, self.width_px + BANK_SPARE_PX), dtype=np.float32)

    def _bank(self, bank: Planes, block: int, stream: int) -> Planes:
        """A block's part of a noise bank; the same bank serves several streams, moved sideways."""
        line = block * BLOCK_LINES
        lot = int(uniform(self._key, "bank", np.array([line // BANK_LINES]))[0] * BANK_SPARE_PX)
        shift = (lot + stream * BANK_SPARE_PX // 4) % BANK_SPARE_PX  # far apart: channels must not echo each other
        return bank[line % BANK_LINES : line % BANK_LINES + BLOCK_LINES, shift : shift + self.width_px]

    def _draw(self, block: int) -> Pixels:
        y_mm = self._y_mm(block * BLOCK_LINES, BLOCK_LINES)
        defects = self.defects(float(y_mm[0]), float(y_mm[-1]) + self.mm_per_px)
        planes = self._weave(block, y_mm, defects)
        yarn = _stripes(self.style.picks, np.zeros(1, np.int64))[0]
        for defect in defects:
            draw_defect(planes, defect, self._key, y_mm, self._x_mm, yarn=yarn, ground=self.style.background)
        if self.margin_mm:
            self._draw_background(planes, block, y_mm)
        planes *= self._light
        for channel, plane in enumerate(planes):
            plane += self._bank(self._sensor, block, channel)
        np.clip(planes, 0, 255, out=planes)
        return np.asarray(cv2.merge(list(planes.astype(np.uint8))), np.uint8)

    def _weave(self, block: int, y_mm: Floats, defects: list[KnownDefect]) -> Planes:
        """(3, BLOCK_LINES, W) of cloth from side to side, in grey levels, before light and noise."""
        style, broken = self.style, [defect for defect in defects if defect.kind == "broken_end"]
        steps = int(self._look_up[-1].max()) + 1
        ahead_mm = y_mm[0] + (np.arange(steps) + self._least_step) * self.mm_per_px / FINE
        first = int(np.floor(ahead_mm[0] / style.pick_mm)) - 2
        count = int(np.ceil((ahead_mm[-1] - ahead_mm[0]) / style.pick_mm)) + 5
        bounds = yarn_bounds(self._key, "pick", first, count, spacing_mm=style.pick_mm)
        at = np.searchsorted(bounds, ahead_mm, side="right") - 1
        place = (ahead_mm - bounds[at]) / (bounds[at + 1] - bounds[at])
        binding_row = np.arange(first, first + count)
        shade = 1 + style.yarn_spread * bell(self._key, "pickshad", binding_row)
        for defect in defects:
            if defect.kind == "mispick":  # two picks in one shed: the binding skips a row, a thin shadow remains
                missed = self._pick_of(defect) - first
                if 0 <= missed < count:
                    binding_row[missed] += 1
                    shade[missed] -= 0.32
        ends_repeat = self._repeat.shape[1]
        sample = (binding_row[at] % style.woven.shape[0]) * CELL + (place * CELL).astype(np.int64)
        flat = np.take((sample * ends_repeat).astype(np.int32), self._look_up)
        flat += self._end_sample
        lit = np.take(self._repeat, flat)
        lit *= self._bank(self._fibre, block, 3)
        of_end = np.take(self._ends_on_top, flat)
        of_end *= lit
        lit -= of_end  # now what the picks show
        of_end *= self._end_shades(y_mm)
        for defect in broken:
            rows = (y_mm >= defect.y0_mm) & (y_mm < defect.y1_mm)
            gap = np.ix_(rows, self._end == self._end_of(defect))
            lit[gap] = 0.42 * of_end[gap] + 0.85 * lit[gap]
            of_end[gap] = 0.0
        nodes = self._pick_weights.shape[0]
        along = bell(self._key, "pickalng", (np.arange(first, first + count) * 4096)[:, None] + np.arange(nodes))
        by_pick = (shade[:, None] + style.yarn_spread * along @ self._pick_weights).astype(np.float32)
        lit *= np.take(by_pick, np.take((at * self.width_px).astype(np.int32), self._look_up) + self._columns)
        pick_colour = _stripes(style.picks, np.arange(first, first + count)[at]).T.astype(np.float32)  # (3, steps)
        planes = np.empty((3, BLOCK_LINES, self.width_px), np.float32)
        for plane, ends, picks in zip(planes, self._end_colour, pick_colour, strict=True):
            np.multiply(lit, picks[0] if len(style.picks) == 1 else np.take(picks, self._look_up), out=plane)
            plane += of_end * ends
        return planes

    def _end_shades(self, y_mm: Floats) -> Planes:
        """(H, W) brightness of the end under each pixel: its own, and a slow change along it."""
        period = self.style.yarn_change_mm
        nodes = np.arange(int(np.floor(y_mm[0] / period)), int(np.floor(y_mm[-1] / period)) + 2)
        part = np.clip(1 - np.abs(y_mm[:, None] / period - nodes[None, :]), 0, 1)
        along = bell(self._key, "endalong", nodes[:, None] * 65536 + self._ends[None, :])
        by_end = 1 + self._end_shade + self.style.yarn_spread * (part * part * (3 - 2 * part)) @ along
        return np.asarray(np.take(by_end.astype(np.float32), self._end - self._ends[0], axis=1))

    def _draw_background(self, planes: Planes, block: int, y_mm: Floats) -> None:
        """What lies beside the cloth: a bright or a worn dark conveyor, with the cloth's shadow on it."""
        left, right = self._selvedges(y_mm)
        streaks = self.style.streaks * (
            smooth(self._key, "streak", y_mm, period=1.3) + smooth(self._key, "wear", y_mm, period=14.0)
        )
        band = int(np.ceil((self.margin_mm + 3.0) / self.mm_per_px))
        for side in (slice(0, band), slice(max(self.width_px - band, band), None)):
            x = self._x_mm[side]
            outside = np.maximum(left[:, None] - x, x - right[:, None])  # mm beyond the selvedge
            cover = np.clip(0.5 + outside / self.mm_per_px, 0, 1).astype(np.float32)
            shadow = 1 - 0.35 * np.exp(-np.maximum(outside, 0) / 0.8)
            ground = ((self.style.background + streaks)[:, None] * shadow).astype(np.float32)
            part = planes[:, :, side]
            part += cover * (ground - part)


def _stripes(stripes: tuple[tuple[int, tuple[int, int, int]], ...], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Colours of yarns, (N,) -> (N, 3)."""
    colours = np.array([colour for count, colour in stripes for _ in range(count)])
    return colours[index % len(colours)]
