"""Heat map to defects: places in mm, merging, thresholds of each tile's own style."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.regions import find_defects, label_regions, outline, stitch_frame, tile_at
from inspection.types import FrameHeader, TiledFrame, TileResult

T = 32


def frame(*, rows: int = 2, columns: int = 3, left: int = 10, offset_mm: float = 0.0) -> TiledFrame:
    header = FrameHeader(
        line="line-1",
        camera="camera-1",
        session="s",
        sequence=0,
        origin="",
        captured_at_ns=0,
        position_mm=1000.0,
        mm_per_px=0.5,
        height_px=rows * T,
        width_px=left + columns * T + 7,
        fabric_left_px=left,
        fabric_right_px=left + columns * T,
        x_offset_mm=offset_mm,
        exposure_us=0.0,
        gain=0.0,
        quality_flags=(),
    )
    tiles = np.zeros((rows * columns, T, T, 1), np.uint8)
    return TiledFrame(header=header, tile_px=T, overlap_px=0, tiles=tiles)


def result(maps: np.ndarray, *, thresholds: np.ndarray | None = None, styles: tuple[str, ...] = ()) -> TileResult:
    n = len(maps)
    return TileResult(
        maps=maps.astype(np.float32),
        scores=maps.max(axis=(1, 2)).astype(np.float32),
        styles=styles or ("plain",) * n,
        thresholds=np.full(n, 0.5, np.float32) if thresholds is None else thresholds.astype(np.float32),
    )


def find(tiled: TiledFrame, answer: TileResult, *, merge_mm: float = 0.0):
    scores, ratios = stitch_frame(tiled, answer)
    return find_defects(tiled, answer, scores, ratios, merge_mm=merge_mm)


def test_a_region_is_placed_on_the_roll_in_mm_from_the_left_fabric_edge() -> None:
    tiled = frame(offset_mm=200.0)
    maps = np.zeros((6, T, T))
    maps[4, 8:12, 4:10] = 0.9  # second row, second column of tiles
    (defect,) = find(tiled, result(maps))
    assert (defect.x0_px, defect.x1_px) == (10 + T + 4, 10 + T + 10)
    assert (defect.y0_px, defect.y1_px) == (T + 8, T + 12)
    assert (defect.x0_mm, defect.x1_mm) == (200.0 + (T + 4) * 0.5, 200.0 + (T + 10) * 0.5)
    assert (defect.y0_mm, defect.y1_mm) == (1000.0 + (T + 8) * 0.5, 1000.0 + (T + 12) * 0.5)
    assert defect.area_px == 24
    assert defect.area_mm2 == 6.0
    assert defect.mask.all()
    assert defect.score == pytest.approx(0.9)


def test_a_map_below_its_threshold_has_no_defect_and_one_exactly_at_it_has_none_either() -> None:
    assert find(frame(), result(np.full((6, T, T), 0.5))) == ()


def test_a_region_across_tiles_is_one_defect() -> None:
    maps = np.zeros((6, T, T))
    maps[:3, 5:9, :] = 0.8  # a weft line over the whole width
    (defect,) = find(frame(), result(maps))
    assert defect.x1_px - defect.x0_px == 3 * T


def test_each_tile_is_held_against_its_own_styles_threshold() -> None:
    maps = np.zeros((6, T, T))
    maps[0, 2, 2] = maps[5, 20, 20] = 0.6
    thresholds = np.array([0.5, 0.5, 0.5, 0.7, 0.7, 0.7])
    (defect,) = find(frame(), result(maps, thresholds=thresholds, styles=("a",) * 3 + ("b",) * 3))
    assert defect.style == "a"
    assert defect.threshold == pytest.approx(0.5)


@pytest.mark.parametrize(("gap_px", "count"), [(20, 1), (21, 2)])
def test_regions_at_most_the_merging_distance_apart_are_one_defect(gap_px: int, count: int) -> None:
    tiled = frame(rows=3)
    maps = np.zeros((9, T, T))
    whole = np.zeros((3 * T, 3 * T))
    whole[10:12, 10:12] = whole[10:12, 12 + gap_px : 14 + gap_px] = 0.9
    for index in range(9):
        row, column = divmod(index, 3)
        maps[index] = whole[row * T : (row + 1) * T, column * T : (column + 1) * T]
    defects = find(tiled, result(maps), merge_mm=10.0)  # 20 px
    assert len(defects) == count
    assert sum(defect.area_px for defect in defects) == 8  # what lies between stays cloth


def test_a_blurred_region_ends_at_half_its_height_not_at_the_threshold() -> None:
    hole = np.zeros((120, 120), np.float32)
    hole[50:70, 50:70] = 40.0
    ratios = cv2.GaussianBlur(hole, (0, 0), 4.0)
    assert (ratios > 1.0).any(axis=1).sum() > 30
    assert 18 <= outline(ratios, reach_px=25).any(axis=1).sum() <= 22


@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63), st.floats(0, 9, width=32)), max_size=12))
def test_an_outline_adds_nothing_and_every_region_keeps_its_peak_or_lies_beside_one_twice_as_high(
    points: list[tuple[int, int, float]],
) -> None:
    ratios = np.zeros((64, 64), np.float32)
    for row, column, ratio in points:
        ratios[row, column] = ratio
    kept = outline(ratios, reach_px=6)
    assert not (kept & (ratios <= 1)).any()
    for row, column in np.argwhere((ratios > 1) & ~kept):
        beside = ratios[max(row - 6, 0) : row + 7, max(column - 6, 0) : column + 7]
        assert beside.max() > 2 * ratios[row, column]


def test_the_worst_defect_comes_first() -> None:
    maps = np.zeros((6, T, T))
    maps[0, 2, 2], maps[5, 20, 20] = 0.6, 0.9
    assert [round(defect.score, 1) for defect in find(frame(), result(maps))] == [0.9, 0.6]


@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63)), max_size=12), st.integers(0, 12))
def test_labels_keep_every_pixel_over_the_threshold_and_add_none(points: list[tuple[int, int]], merge_px: int) -> None:
    over = np.zeros((64, 64), bool)
    for row, column in points:
        over[row, column] = True
    count, labels = label_regions(over, merge_px=merge_px)
    assert np.array_equal(labels > 0, over)
    assert set(np.unique(labels)) - {0} == set(range(1, count + 1))


def test_a_pixel_belongs_to_the_tile_whose_center_is_nearest() -> None:
    tiled = frame()
    assert tile_at(tiled, 3, 10 + 5) == 0
    assert tile_at(tiled, T + 3, 10 + 2 * T + 5) == 5


@pytest.mark.parametrize(
    ("cloth", "patch", "background", "expected"),
    [
        (150, 12, 10.0, True),  # dark background shows through
        (150, 60, 10.0, False),  # a dark stain does not
        (150, 12, -1.0, None),  # no background in the frame
        (20, 12, 10.0, None),  # cloth as dark as the background
    ],
)
def test_a_hole_is_told_by_the_background_that_shows_through_it(cloth, patch, background, expected) -> None:
    tiled = frame()
    tiles = np.full(tiled.tiles.shape, cloth, np.uint8)
    tiles[4, 8:12, 4:10] = patch
    header = replace(tiled.header, background_level=background)
    maps = np.zeros((6, T, T))
    maps[4, 6:14, 2:12] = 0.9
    (defect,) = find(TiledFrame(header=header, tile_px=T, overlap_px=0, tiles=tiles), result(maps))
    assert defect.hole is expected


def test_scattered_dark_pixels_are_no_hole() -> None:
    tiled = frame()
    tiles = np.full(tiled.tiles.shape, 150, np.uint8)
    tiles[4, 6:14:2, 2:12:2] = 10
    header = replace(tiled.header, background_level=10.0, mm_per_px=0.3)
    maps = np.zeros((6, T, T))
    maps[4, 6:14, 2:12] = 0.9
    (defect,) = find(TiledFrame(header=header, tile_px=T, overlap_px=0, tiles=tiles), result(maps))
    assert defect.hole is False
