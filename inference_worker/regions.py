"""Heat map to defects: regions over their style's threshold, merged where they almost touch, in mm.

A score map is blurred: the backbone sees around each place, and the Gaussian spreads what it found. A strong defect is
therefore over the threshold far beyond itself. A blurred edge lies where the blur has fallen to half, so a region ends
at the threshold or at half of the peak beside it, whichever comes first.
"""

import cv2
import numpy as np
from scipy.ndimage import find_objects

from inspection.tiling import join, origins_of, stitch
from inspection.types import Defect, FrameHeader, Mask, Pixels, Scores, TiledFrame, TileResult

EDGE_SHARE = 0.5  # of the highest score within reach
HOLE_LEVELS = 16  # grey levels: so near to the background's is background, so far from the cloth's is told apart
HOLE_TAIL = 1.0  # percent of the cloth's pixels that may be darker or brighter than what counts as its own
HOLE_MM2 = 0.2  # half a millimetre each way


def stitch_frame(tiled: TiledFrame, result: TileResult) -> tuple[Scores, Scores]:
    """The fabric's score map, and the same in units of each tile's threshold: two of (height, fabric width) float32.

    Above 1.0, the second says defect; tiles of one frame may be compared with different styles.
    """
    header = tiled.header
    height, width = header.height_px, header.fabric_right_px - header.fabric_left_px
    thresholds = np.maximum(result.thresholds, 1e-12).astype(np.float32)
    scores = stitch(result.maps, height, width, overlap_px=tiled.overlap_px)
    if np.all(thresholds == thresholds[0]):  # as in most frames: one style
        return scores, scores / thresholds[0]
    return scores, stitch(result.maps / thresholds[:, None, None], height, width, overlap_px=tiled.overlap_px)


def outline(ratios: Scores, *, reach_px: int) -> Mask:
    """What is defect: scores in units of the threshold (H, W) over 1 and over half of the highest within `reach_px`.

    Each region over 1 keeps at least its peak, unless a peak twice as high lies within reach.
    """
    side = 2 * reach_px + 1
    highest = cv2.dilate(ratios, np.ones((side, side), np.uint8))
    return np.asarray((ratios > 1.0) & (ratios >= EDGE_SHARE * highest))


def label_regions(over: Mask, *, merge_px: int) -> tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.int32]]]:
    """Numbers the regions of `over` (H, W) from 1; regions at most `merge_px` apart share a number. 0 is no region."""
    joined = over.astype(np.uint8)
    if merge_px > 0:
        joined = np.asarray(cv2.dilate(joined, np.ones((merge_px + 1, merge_px + 1), np.uint8)), np.uint8)
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    return count - 1, np.where(over, labels, 0).astype(np.int32)


def find_defects(
    tiled: TiledFrame, result: TileResult, scores: Scores, ratios: Scores, *, merge_mm: float
) -> tuple[Defect, ...]:
    """Defects of one frame, worst first. `scores`, `ratios`: from `stitch_frame`."""
    header = tiled.header
    merge_px = round(merge_mm / header.mm_per_px)
    reach_px = (
        merge_px // 2
    )  # half the distance that merges: what a stronger neighbour hides would have been part of it
    part = _around_what_is_over(ratios, reach_px)
    if part is None:
        return ()
    top, left = part[0].start, part[1].start
    _, labels = label_regions(outline(ratios[part], reach_px=reach_px), merge_px=merge_px)
    defects = []
    fabric = grey_of(tiled)
    for number, place in enumerate(find_objects(labels), start=1):
        rows = slice(top + place[0].start, top + place[0].stop)
        columns = slice(left + place[1].start, left + place[1].stop)
        mask = labels[place] == number
        highest = np.unravel_index(int(np.argmax(np.where(mask, ratios[rows, columns], -1.0))), mask.shape)
        peak = rows.start + int(highest[0]), columns.start + int(highest[1])
        tile = tile_at(tiled, peak[0], peak[1] + header.fabric_left_px)
        hole = shows_background(
            fabric, (rows, columns), mask, background=header.background_level, mm_per_px=header.mm_per_px
        )
        defects.append(
            _place(
                header,
                (columns.start, columns.stop, rows.start, rows.stop),
                mask,
                score=float(scores[peak]),
                threshold=float(result.thresholds[tile]),
                style=result.styles[tile],
                hole=hole,
            )
        )
    return tuple(sorted(defects, key=lambda defect: defect.score / max(defect.threshold, 1e-12), reverse=True))


def _around_what_is_over(ratios: Scores, reach_px: int) -> tuple[slice, slice] | None:
    """The smallest part of a frame with everything over 1 and what lies within reach of it. Most frames have none."""
    if not ratios.max(initial=0.0) > 1.0:  # nor is a map that is no number
        return None
    over = ratios > 1.0
    found = [np.flatnonzero(over.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (slice(max(int(each[0]) - reach_px, 0), int(each[-1]) + reach_px + 1) for each in found)
    return rows, columns


def _place(
    header: FrameHeader,
    box: tuple[int, int, int, int],
    mask: Mask,
    *,
    score: float,
    threshold: float,
    style: str,
    hole: bool | None,
) -> Defect:
    x0, x1, y0, y1 = box  # fabric pixels
    scale, left = header.mm_per_px, header.fabric_left_px
    area_px = int(mask.sum())
    return Defect(
        x0_mm=header.x_offset_mm + x0 * scale,
        x1_mm=header.x_offset_mm + x1 * scale,
        y0_mm=header.position_mm + y0 * scale,
        y1_mm=header.position_mm + y1 * scale,
        x0_px=left + x0,
        x1_px=left + x1,
        y0_px=y0,
        y1_px=y1,
        area_mm2=area_px * scale * scale,
        area_px=area_px,
        score=score,
        threshold=threshold,
        style=style,
        mask=mask,
        hole=hole,
    )


def grey_of(tiled: TiledFrame) -> Pixels:
    """The frame's fabric in grey levels: (H, fabric width)."""
    fabric = join(tiled)
    return np.asarray(cv2.cvtColor(fabric, cv2.COLOR_RGB2GRAY), np.uint8) if fabric.shape[2] == 3 else fabric[:, :, 0]


def shows_background(
    fabric: Pixels, place: tuple[slice, slice], mask: Mask, *, background: float, mm_per_px: float
) -> bool | None:
    """Whether cloth is missing inside a region: a patch of at least `HOLE_MM2` that looks as the background does.

    fabric: (H, W) grey; mask: the region, in rows and columns `place` of it; background: its grey level beside the
    fabric, -1 when none was seen. None when it cannot be told: no background in the frame, or cloth as bright as it.
    """
    if background < 0 or not mask.any():
        return None
    rows, columns = (np.arange(0, side, max(1, side // 256)) for side in fabric.shape)
    outside = np.ones((rows.size, columns.size), np.bool_)
    inner_rows, inner_columns = (
        np.flatnonzero((each >= part.start) & (each < part.stop))
        for each, part in zip((rows, columns), place, strict=True)
    )
    inside = mask[np.ix_(rows[inner_rows] - place[0].start, columns[inner_columns] - place[1].start)]
    outside[np.ix_(inner_rows, inner_columns)] = ~inside
    around = fabric[np.ix_(rows, columns)][outside]
    if not around.size:
        return None
    low, high = np.percentile(around, [HOLE_TAIL, 100 - HOLE_TAIL])
    if low - HOLE_LEVELS <= background <= high + HOLE_LEVELS:
        return None
    missing = (np.abs(fabric[place].astype(np.int16) - background) <= HOLE_LEVELS) & mask
    _, _, stats, _ = cv2.connectedComponentsWithStats(missing.astype(np.uint8), connectivity=4)
    largest = int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
    return largest * mm_per_px**2 >= HOLE_MM2


def tile_at(tiled: TiledFrame, row: int, column: int) -> int:
    """Index of the tile whose center is nearest to a pixel of the frame."""
    half = tiled.tile_px / 2
    distances = [max(abs(top + half - row), abs(left + half - column)) for top, left in origins_of(tiled)]
    return int(np.argmin(distances))
