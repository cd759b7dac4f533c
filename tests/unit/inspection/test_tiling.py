import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection.errors import ImageError, SettingsError
from inspection.tiling import cut, cut_image, join, origins_of, spans, stitch, tile_origins
from inspection.types import Frame, FrameHeader

geometries = st.integers(1, 24).flatmap(
    lambda tile: st.tuples(
        st.integers(tile, 5 * tile), st.integers(tile, 5 * tile), st.just(tile), st.integers(0, tile - 1)
    )
)


def a_frame(pixels: np.ndarray, *, left: int, right: int) -> Frame:
    header = FrameHeader(
        line="line", camera="camera", session="s", sequence=0, origin="", captured_at_ns=0, position_mm=0.0,
        mm_per_px=0.2, height_px=pixels.shape[0], width_px=pixels.shape[1], fabric_left_px=left, fabric_right_px=right,
        x_offset_mm=0.0, exposure_us=0.0, gain=0.0, quality_flags=(),
    )  # fmt: skip
    return Frame(header=header, pixels=pixels)


@given(geometries)
def test_windows_cover_every_pixel_and_none_leaves_the_image(geometry: tuple[int, int, int, int]) -> None:
    height, width, tile, overlap = geometry
    seen = np.zeros((height, width), int)
    for row, column in tile_origins(height, width, tile_px=tile, overlap_px=overlap):
        assert row >= 0
        assert column >= 0
        assert row + tile <= height
        assert column + tile <= width
        seen[row : row + tile, column : column + tile] += 1
    assert seen.min() == 1 or overlap > 0
    assert seen.min() >= 1


@given(geometries)
def test_last_tile_ends_flush_with_the_edge(geometry: tuple[int, int, int, int]) -> None:
    length, _, tile, overlap = geometry
    starts = spans(length, tile_px=tile, overlap_px=overlap)
    assert starts[0] == 0
    assert starts[-1] == length - tile
    assert starts == sorted(set(starts))


@given(geometries)
def test_neighbours_overlap_by_the_setting_except_before_the_last(geometry: tuple[int, int, int, int]) -> None:
    length, _, tile, overlap = geometry
    starts = spans(length, tile_px=tile, overlap_px=overlap)
    steps = np.diff(starts)
    assert (steps[:-1] == tile - overlap).all()
    assert (steps[-1:] <= tile - overlap).all()


@given(geometries, st.sampled_from([(), (1,), (3,)]), st.integers(0, 2**32 - 1))
def test_stitched_tiles_are_the_image_again(
    geometry: tuple[int, int, int, int], channels: tuple[int, ...], seed: int
) -> None:
    height, width, tile, overlap = geometry
    image = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    tiles = cut_image(image, tile_px=tile, overlap_px=overlap)
    back = stitch(tiles, height, width, overlap_px=overlap)
    np.testing.assert_allclose(back, image.reshape(height, width, -1), atol=1e-3)


@given(geometries, st.integers(0, 2**32 - 1))
def test_stitching_never_leaves_the_range_of_the_tiles(geometry: tuple[int, int, int, int], seed: int) -> None:
    height, width, tile, overlap = geometry
    count = len(tile_origins(height, width, tile_px=tile, overlap_px=overlap))
    maps = np.random.default_rng(seed).random((count, tile, tile), dtype=np.float32)
    stitched = stitch(maps, height, width, overlap_px=overlap)
    assert stitched.shape == (height, width)
    assert stitched.min() >= maps.min() - 1e-6
    assert stitched.max() <= maps.max() + 1e-6


def test_overlap_is_blended_linearly() -> None:
    tiles = np.stack([np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)])
    stitched = stitch(tiles, 4, 6, overlap_px=2)
    np.testing.assert_allclose(stitched[0], [0, 0, 0.25, 0.75, 1, 1], atol=1e-6)


@given(geometries, st.integers(0, 30), st.integers(0, 30), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_join_gives_the_fabric_back_exactly(
    geometry: tuple[int, int, int, int], left: int, beyond: int, channels: int, seed: int
) -> None:
    height, fabric, tile, overlap = geometry
    shape = (height, left + fabric + beyond) + ((3,) if channels == 3 else ())
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    tiled = cut(a_frame(pixels, left=left, right=left + fabric), tile_px=tile, overlap_px=overlap)
    assert tiled.tiles.shape[1:] == (tile, tile, channels)
    assert len(origins_of(tiled)) == len(tiled.tiles)
    expected = pixels[:, left : left + fabric].reshape(height, fabric, channels)
    np.testing.assert_array_equal(join(tiled), expected)
    for every_row in (2, 3, 7, 100):
        np.testing.assert_array_equal(join(tiled, every_row=every_row), expected[::every_row])


def test_background_beside_the_fabric_is_in_no_tile() -> None:
    pixels = np.full((8, 30), 255, np.uint8)
    pixels[:, 7:24] = 1
    tiled = cut(a_frame(pixels, left=7, right=24), tile_px=8, overlap_px=0)
    assert (tiled.tiles == 1).all()


@pytest.mark.parametrize("overlap", [-1, 8, 300])
def test_an_impossible_overlap_is_named(overlap: int) -> None:
    with pytest.raises(SettingsError, match=rf"overlap must be in \[0, 8\), got {overlap}"):
        spans(16, tile_px=8, overlap_px=overlap)


def test_an_impossible_tile_is_named() -> None:
    with pytest.raises(SettingsError, match="got 0"):
        spans(16, tile_px=0, overlap_px=0)


def test_an_image_smaller_than_a_tile_is_refused() -> None:
    with pytest.raises(ImageError, match="7 px is smaller than a tile of 8 px"):
        cut_image(np.zeros((7, 20), np.uint8), tile_px=8, overlap_px=0)


def test_a_wrong_number_of_tiles_is_refused() -> None:
    with pytest.raises(ImageError, match="takes 4 tiles, got 3"):
        stitch(np.zeros((3, 8, 8), np.float32), 16, 16, overlap_px=0)
