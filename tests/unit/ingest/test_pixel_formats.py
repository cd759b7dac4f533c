"""A camera's bytes to pixels, each format against a plain implementation that goes value by value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.pixel_formats import pixel_format, to_pixels
from inspection.errors import ImageError


def encode(values: list[int], *, bits: int, packing: str) -> bytes:
    """Values one after the other as a camera sends them: bit by bit, from the formats' own definitions."""
    if packing == "p":  # PFNC: a stream of bits, lowest first
        stream = "".join(format(value, f"0{bits}b")[::-1] for value in values)
        stream += "0" * (-len(stream) % 8)
        return bytes(int(stream[start : start + 8][::-1], 2) for start in range(0, len(stream), 8))
    if packing == "packed":  # GigE Vision 2.0, Mono10Packed and Mono12Packed
        low = bits - 8
        mask = (1 << low) - 1
        out = bytearray()
        for first, second in zip(values[::2], [*values[1::2], 0], strict=False):
            out += bytes((first >> low, (first & mask) | ((second & mask) << 4), second >> low))
        return bytes(out)
    return bytes(values) if bits == 8 else b"".join(value.to_bytes(2, "little") for value in values)


MONO = [("Mono8", 8, ""), ("Mono10", 10, ""), ("Mono12", 12, ""), ("Mono14", 14, ""), ("Mono16", 16, ""),
        ("Mono10p", 10, "p"), ("Mono12p", 12, "p"), ("Mono10Packed", 10, "packed"),
        ("Mono12Packed", 12, "packed")]  # fmt: skip


@pytest.mark.parametrize(("name", "bits", "packing"), MONO)
@given(data=st.data(), width=st.integers(1, 13), height=st.integers(1, 5), padding=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_mono_keeps_the_highest_8_bits_of_every_pixel(name, bits, packing, data, width, height, padding) -> None:
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=width * height, max_size=width * height))
    lines = [values[row * width : (row + 1) * width] for row in range(height)]
    if padding:
        raw = b"".join(_line(line, bits, packing) + b"\xaa" * padding for line in lines)
    else:
        raw = encode(values, bits=bits, packing=packing)
    pixels = to_pixels(raw, pixel_format(name), width=width, height=height, padding=padding)
    expected = [[value >> (bits - 8) for value in line] for line in lines]
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == expected


def _line(values: list[int], bits: int, packing: str) -> bytes:
    """One line by itself; a packed one takes as many bytes as its bits."""
    raw = encode(values, bits=bits, packing=packing)
    return raw[: -(-len(values) * 12 // 8)] if packing == "packed" else raw


COLOR = [("RGB8", 8, "RGB"), ("BGR8", 8, "BGR"), ("RGBa8", 8, "RGBA"), ("BGRa8", 8, "BGRA"), ("RGB8Packed", 8, "RGB"),
         ("BGRA8Packed", 8, "BGRA"), ("RGB10", 10, "RGB"), ("RGB12", 12, "RGB"), ("BGR16", 16, "BGR"),
         ("RGB16Packed", 16, "RGB"), ("RGBa16", 16, "RGBA")]  # fmt: skip


@pytest.mark.parametrize(("name", "bits", "order"), COLOR)
@pytest.mark.parametrize("padding", [0, 2])
def test_color_becomes_rgb_in_that_order_without_alpha(name, bits, order, padding) -> None:
    width, height = 5, 3
    values = np.random.default_rng(1).integers(0, 2**bits, (height, width, len(order)))
    raw = b"".join(encode(line.ravel().tolist(), bits=bits, packing="") + b"\xaa" * padding for line in values)
    pixels = to_pixels(raw, pixel_format(name), width=width, height=height, padding=padding)
    for channel, color in enumerate("RGB"):
        np.testing.assert_array_equal(pixels[:, :, channel], values[:, :, order.index(color)] >> (bits - 8))
    assert pixels.shape == (height, width, 3)


def bilinear(mosaic: np.ndarray, pattern: str) -> np.ndarray:
    """Inside pixels by the definition: a missing color is the mean of the nearest pixels that have it."""
    height, width = mosaic.shape
    colors = np.array([[pattern[0], pattern[1]], list({"RG": "GB", "GR": "BG", "GB": "RG", "BG": "GR"}[pattern])])
    out = np.zeros((height, width, 3))
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            for channel, color in enumerate("RGB"):
                if colors[y % 2, x % 2] == color:
                    out[y, x, channel] = mosaic[y, x]
                    continue
                near = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
                        if colors[(y + dy) % 2, (x + dx) % 2] == color]  # fmt: skip
                nearest = min(abs(dy) + abs(dx) for dy, dx in near)
                near = [(dy, dx) for dy, dx in near if abs(dy) + abs(dx) == nearest]
                out[y, x, channel] = np.mean([mosaic[y + dy, x + dx] for dy, dx in near])
    return out


@pytest.mark.parametrize("pattern", ["RG", "GR", "GB", "BG"])
@pytest.mark.parametrize(("suffix", "bits", "packing"), [("8", 8, ""), ("10", 10, ""), ("12", 12, ""), ("16", 16, ""),
                                                         ("10p", 10, "p"), ("12p", 12, "p"),
                                                         ("12Packed", 12, "packed")])  # fmt: skip
def test_bayer_is_interpolated_from_the_right_pixels(pattern, suffix, bits, packing) -> None:
    values = np.random.default_rng(2).integers(0, 2**bits, (8, 12))
    raw = encode(values.ravel().tolist(), bits=bits, packing=packing)
    pixels = to_pixels(raw, pixel_format(f"Bayer{pattern}{suffix}"), width=12, height=8)
    expected = bilinear(values >> (bits - 8), pattern)
    assert np.abs(pixels[1:-1, 1:-1] - expected[1:-1, 1:-1]).max() <= 1.0  # rounding


def test_a_red_cloth_is_red_whatever_the_pattern() -> None:
    color = {"R": 200, "G": 90, "B": 30}
    second = {"RG": "GB", "GR": "BG", "GB": "RG", "BG": "GR"}
    for pattern in second:
        block = [[color[pattern[0]], color[pattern[1]]], [color[c] for c in second[pattern]]]
        mosaic = np.tile(np.array(block, np.uint8), (8, 8))
        pixels = to_pixels(mosaic.tobytes(), pixel_format(f"Bayer{pattern}8"), width=16, height=16)
        assert pixels[1:-1, 1:-1].reshape(-1, 3).tolist() == [[200, 90, 30]] * (14 * 14)


def test_plain_formats_are_not_copied() -> None:
    raw = np.arange(48, dtype=np.uint8)
    assert np.shares_memory(to_pixels(raw, pixel_format("Mono8"), width=8, height=6), raw)
    assert np.shares_memory(to_pixels(raw, pixel_format("RGB8"), width=4, height=4), raw)


@pytest.mark.parametrize("name", ["YUV422_8", "Mono1p", "Mono8p", "Coord3D_C16", "", "RGB8p", "BayerRG14p", "Mono8 "])
def test_a_format_nobody_knows_is_refused_by_name(name: str) -> None:
    with pytest.raises(ImageError, match="is not known: set PixelFormat to Mono8"):
        pixel_format(name)


@pytest.mark.parametrize(("name", "given_bytes", "needed"), [("Mono8", 11, 12), ("Mono12p", 17, 18), ("RGB8", 35, 36)])
def test_too_few_bytes_are_refused_with_what_it_takes(name: str, given_bytes: int, needed: int) -> None:
    with pytest.raises(ImageError, match=f"take {needed} bytes, the camera gave {given_bytes}"):
        to_pixels(bytes(given_bytes), pixel_format(name), width=4, height=3)


def test_a_12_bit_value_in_16_bits_beyond_its_range_is_white_not_dark() -> None:
    raw = (5000).to_bytes(2, "little")
    assert to_pixels(raw, pixel_format("Mono12"), width=1, height=1).tolist() == [[255]]
