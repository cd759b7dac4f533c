"""A defect's pictures: the outline lies where the worker saw the defect, whatever the crop."""

import base64
import io
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dashboard import pictures
from inference_worker.pictures import crop_box
from inspection.types import Defect
from storage.reads.defects import DefectItem
from tests.records import FABRIC_PX, HEIGHT_PX, LEFT_PX, TILE_PX, encode_png, make_defect, make_header


def item_of(box: tuple[int, int, int, int]) -> DefectItem:
    """box: x0, x1, y0, y1 on the fabric."""
    return DefectItem(
        id=1,
        version=0,
        severity_set=False,
        line="line-1",
        camera="camera-1",
        captured_at=datetime(2026, 3, 14, tzinfo=UTC),
        roll=None,
        y_mm=0,
        x_mm=0,
        length_mm=1,
        width_mm=1,
        area_mm2=1,
        size_mm=1.0,
        geometry="point",
        hole=None,
        code="",
        severity="major",
        points=1.0,
        fragments=1,
        series_id=None,
        score=1,
        threshold=1,
        strength=1,
        style="",
        state="unreviewed",
        crop="",
        heat="",
        fabric_px=(FABRIC_PX, HEIGHT_PX),
        box_px=box,
    )


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    x0 = draw(st.integers(0, FABRIC_PX - 1))
    y0 = draw(st.integers(0, HEIGHT_PX - 1))
    return x0, draw(st.integers(x0 + 1, FABRIC_PX)), y0, draw(st.integers(y0 + 1, HEIGHT_PX))


@given(boxes(), st.sampled_from([16, TILE_PX, 128]))
def test_the_mask_lies_in_the_crop_where_it_lay_in_the_frame(box: tuple[int, int, int, int], tile_px: int) -> None:
    x0, x1, y0, y1 = box
    mask = np.random.default_rng(x0 + y0).random((y1 - y0, x1 - x0)) > 0.4
    defect: Defect = make_defect(x0_px=x0 + LEFT_PX, x1_px=x1 + LEFT_PX, y0_px=y0, y1_px=y1, mask=mask)
    frame = np.zeros((HEIGHT_PX, FABRIC_PX), bool)
    frame[y0:y1, x0:x1] = mask
    left, right, top, bottom = crop_box(defect, make_header(), tile_px=tile_px)
    expected = frame[top:bottom, left:right]
    assert np.array_equal(pictures.mask_in_crop(item_of(box), mask, expected.shape), expected)


@settings(max_examples=50)
@given(boxes())
def test_a_thumbnail_is_square_and_shows_the_middle_of_the_defect(box: tuple[int, int, int, int]) -> None:
    x0, x1, y0, y1 = box
    frame = np.full((HEIGHT_PX, FABRIC_PX, 3), 40, np.uint8)
    frame[y0:y1, x0:x1] = (250, 250, 250)
    left, right, top, bottom = crop_box(
        make_defect(x0_px=x0 + LEFT_PX, x1_px=x1 + LEFT_PX, y0_px=y0, y1_px=y1), make_header(), tile_px=TILE_PX
    )
    url = pictures.thumbnail(encode_png(frame[top:bottom, left:right]), item_of(box), side_px=64)
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    small = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert small.shape == (64, 64, 3)
    assert small.max() > 90  # the bright defect is in it


def test_the_outline_is_around_the_defect_and_nowhere_else() -> None:
    crop = np.full((100, 100, 3), 120, np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[40:60, 30:70] = True
    drawn = pictures.draw_outline(crop, mask)
    factor = drawn.shape[0] // 100
    line = (drawn == pictures.OUTLINE_RGB).all(axis=2)
    rows, columns = np.flatnonzero(line.any(axis=1)) / factor, np.flatnonzero(line.any(axis=0)) / factor
    assert (rows.min(), rows.max()) == (pytest.approx(40, abs=2), pytest.approx(60, abs=2))
    assert (columns.min(), columns.max()) == (pytest.approx(30, abs=2), pytest.approx(70, abs=2))
    assert not line[45 * factor : 55 * factor, 35 * factor : 65 * factor].any()


def test_without_heat_the_cloth_is_grey_and_heat_shows_its_own_colour() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    heat = np.zeros((20, 30, 3), np.uint8)
    heat[:10] = (252, 255, 164)
    blended = pictures.blend_heat(crop, heat)
    assert (blended[10:, :, 0] == blended[10:, :, 1]).all()
    assert (blended[:10, :, 0].astype(int) - blended[:10, :, 2] > 20).all()


def test_heat_of_another_size_is_fitted_to_the_crop() -> None:
    assert pictures.blend_heat(np.zeros((20, 30, 3), np.uint8), np.zeros((10, 15, 3), np.uint8)).shape == (20, 30, 3)


def test_bytes_that_are_no_picture_are_refused() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        pictures.read_picture(b"no picture")


def test_the_shape_of_a_picture_is_its_height_and_width() -> None:
    assert pictures.shape_of(encode_png(np.zeros((7, 11), np.uint8))) == (7, 11)
