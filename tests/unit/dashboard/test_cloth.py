"""The running cloth drawn from pieces: places, gaps, resets, limits."""

import io

import numpy as np
from PIL import Image

from dashboard.cloth import HATCH_RGB, draw_strip
from dashboard.units import SETS
from storage.live import StripPiece

GREY = {1: 40, 2: 110, 3: 180}


def piece(number: int, position_mm: float, *, jpeg: bytes | None = None, length_mm: float = 100.0) -> StripPiece:
    """A frame of 200 mm x `length_mm` in one grey, 100 px across."""
    out = io.BytesIO()
    Image.new("RGB", (100, round(length_mm / 2)), (GREY[number],) * 3).save(out, "JPEG", quality=95)
    return StripPiece(
        line="l",
        camera="c",
        captured_at_ns=number,
        position_mm=position_mm,
        length_mm=length_mm,
        x0_mm=50.0,
        x1_mm=250.0,
        jpeg=out.getvalue() if jpeg is None else jpeg,
    )


def right_edge(pieces: list[StripPiece], *, height_px: int = 200) -> np.ndarray:
    """The strip's column of red values at the right, where no metres are written. 0.5 px a mm."""
    with Image.open(io.BytesIO(draw_strip(pieces, width_px=100, height_px=height_px, own=SETS["metric"]))) as picture:
        assert picture.size == (100, height_px)
        return np.asarray(picture.convert("RGB"))[:, 90, 0].astype(int)


def near(found: np.ndarray, grey: int) -> bool:
    return bool(np.abs(found - grey).max() <= 6)


def test_the_newest_cloth_is_at_the_bottom_in_true_proportion() -> None:
    column = right_edge([piece(1, 0.0), piece(2, 100.0), piece(3, 200.0)])
    assert near(column[152:198], GREY[3])
    assert near(column[102:148], GREY[2])
    assert near(column[52:92], GREY[1])  # beside the hatching JPEG errs
    assert column[:48].min() >= 120, "hatched where nothing is known yet"


def test_cloth_that_no_piece_shows_is_hatched_at_its_place() -> None:
    column = right_edge([piece(1, 0.0), piece(3, 200.0)])
    assert near(column[152:198], GREY[3])
    assert near(column[52:92], GREY[1])  # beside the hatching JPEG errs
    missing = column[104:146]
    assert missing.max() >= HATCH_RGB[0] - 8
    assert missing.min() < HATCH_RGB[0] - 30, "with lines"


def test_cloth_from_before_a_reset_of_the_counter_is_left_out() -> None:
    column = right_edge([piece(1, 50.0), piece(2, 0.0), piece(3, 100.0)])
    assert near(column[152:198], GREY[3])
    assert near(column[102:148], GREY[2])
    assert column[:96].min() >= 120


def test_what_does_not_fit_is_cut_at_the_top_only() -> None:
    column = right_edge([piece(1, 0.0), piece(2, 100.0, length_mm=300.0)], height_px=100)
    assert near(column[2:98], GREY[2])


def test_a_piece_that_cannot_be_read_counts_as_missing() -> None:
    column = right_edge([piece(1, 0.0, jpeg=b"no picture"), piece(3, 100.0)])
    assert near(column[152:198], GREY[3])
    assert column[:146].min() >= 120
