"""Picture files at the door: what is read, and the one line for what is not."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inspection.errors import ImageError
from inspection.pictures import decode_picture, picture_size, read_picture

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (12, 20), dtype=np.uint8)
RGB = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def test_grey_stays_grey_and_rgb_stays_rgb(tmp_path):
    for name, pixels in (("grey.png", GREY), ("rgb.png", RGB), ("grey.tif", GREY), ("rgb.bmp", RGB)):
        Image.fromarray(pixels).save(tmp_path / name)
        read = read_picture(tmp_path / name)
        assert read.dtype == np.uint8
        assert read.flags.c_contiguous
        np.testing.assert_array_equal(read, pixels)


def test_channels_are_in_the_order_red_green_blue():
    data = cv2.imencode(".png", RGB[:, :, ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_picture(data, name="a"), RGB)


def test_rgba_loses_its_alpha():
    alpha = RNG.integers(0, 256, (12, 20, 1), dtype=np.uint8)
    data = encoded(Image.fromarray(np.concatenate([RGB, alpha], axis=2)))
    np.testing.assert_array_equal(decode_picture(data, name="a"), RGB)


def test_grey_loses_its_alpha():
    data = encoded(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]))
    np.testing.assert_array_equal(decode_picture(data, name="a"), GREY)


def test_rgba_with_equal_channels_is_grey():
    data = encoded(Image.fromarray(np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])))
    np.testing.assert_array_equal(decode_picture(data, name="a"), GREY)


def test_a_palette_becomes_rgb_and_black_and_white_becomes_grey():
    palette = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(decode_picture(encoded(palette), name="a"), np.array(palette.convert("RGB")))
    bits = Image.fromarray(GREY > 127)
    np.testing.assert_array_equal(decode_picture(encoded(bits), name="a"), np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (encoded(Image.fromarray(GREY.astype(np.uint16) * 257)), "16-bit"),
        (cv2.imencode(".png", RGB.astype(np.uint16) * 257)[1].tobytes(), "16-bit"),
        (cv2.imencode(".pgm", GREY.astype(np.uint16) * 257)[1].tobytes(), "16-bit"),
        (encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "floating point"),
        (encoded(Image.fromarray(RGB).convert("CMYK"), "TIFF"), "4 channels"),
        (b"", "empty"),
        (b"not a picture at all", "not a picture"),
        (encoded(Image.fromarray(GREY), "EPS"), "not a picture"),
        (encoded(Image.fromarray(GREY), "GIF"), "not a picture"),
        (encoded(Image.fromarray(RGB))[:-60], "truncated or damaged"),
        (encoded(Image.fromarray(RGB), "JPEG")[:-120], "truncated or damaged"),
    ],
    ids=["grey16", "rgb16", "pgm16", "float", "cmyk", "empty", "text", "eps", "gif", "cut-png", "cut-jpeg"],
)
def test_one_line_names_the_file_what_is_wrong_and_the_way_out(data, why, tmp_path):
    path = tmp_path / "frame.png"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert why in message
    assert "\n" not in message
    assert any(verb in message for verb in ("save", "remove"))


def test_a_missing_file_is_named():
    with pytest.raises(ImageError, match=r"^gone/frame\.png: No such file"):
        read_picture(Path("gone/frame.png"))


def test_the_size_of_a_damaged_picture_is_still_known():
    assert picture_size(encoded(Image.fromarray(RGB))[:-60]) == (12, 20)
    assert picture_size(encoded(Image.fromarray(GREY.astype(np.uint16)))) == (12, 20)
    assert picture_size(b"") is None
    assert picture_size(b"not a picture at all") is None


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that it then reads
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_damage_escapes_as_anything_but_an_image_error(data):
    whole = bytearray(encoded(Image.fromarray(RGB), data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "TIFF"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode_picture(bytes(whole), name="frame")
    except ImageError as error:
        assert str(error).startswith("frame: ")  # noqa: PT017
        picture_size(bytes(whole))
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 2 or pixels.shape[2] == 3
