"""Pictures: what is read, and what is refused with the file's name."""

import cv2
import numpy as np
import pytest
from PIL import Image

from cras_core.errors import PictureError
from cras_core.pictures import as_rgb, decode_picture, picture_size, read_mask, read_picture, resize_to_tile


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_rgb_is_read_as_it_is(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), picture)


def test_grey_becomes_three_equal_channels_and_alpha_is_dropped(tmp_path, picture):
    Image.fromarray(picture[:, :, 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png"), np.repeat(picture[:, :, :1], 3, axis=2))
    Image.fromarray(np.dstack([picture, picture[:, :, 0] // 2])).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "alpha.png"), picture)
    Image.fromarray(picture[:, :, 0]).convert("LA").save(tmp_path / "grey-alpha.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "grey-alpha.png"), read_picture(tmp_path / "grey.png"))


def test_palettes_and_bitmaps_are_read_by_what_they_show(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png"), np.full((4, 4, 3), (200, 100, 50), np.uint8))


@pytest.mark.parametrize("name", ["whole.png", "whole.jpg"])
def test_a_truncated_file_is_named(tmp_path, picture, name):
    Image.fromarray(np.tile(picture, (20, 20, 1))).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(PictureError, match=f"{name} is truncated or damaged"):
        read_picture(tmp_path / name)


def test_a_missing_file_and_one_that_is_no_picture_are_named(tmp_path):
    with pytest.raises(PictureError, match=r"cannot read .*none.png"):
        read_picture(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(PictureError, match=r"text.png is not a picture"):
        read_picture(tmp_path / "text.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureError, match=r"empty.png is not a picture"):
        read_picture(tmp_path / "empty.png")


@pytest.mark.parametrize("kind", ["EPS", "GIF", "ICO"])
def test_other_formats_are_refused_whatever_the_file_is_called(tmp_path, picture, kind):
    path = tmp_path / "disguised.png"
    Image.fromarray(picture).save(path, kind)
    for read in (read_picture, picture_size):
        with pytest.raises(PictureError, match=r"disguised.png is not a picture that can be read"):
            read(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_the_header_alone_tells_the_size_of_every_format(tmp_path, picture, kind):
    path = tmp_path / "a"
    Image.fromarray(picture).save(path, kind)
    assert picture_size(path) == picture.shape[1::-1] == read_picture(path).shape[1::-1]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_is_refused(tmp_path, suffix, channels):
    path = tmp_path / f"deep.{suffix}"
    cv2.imwrite(str(path), np.full((8, 8, channels), 40_000, np.uint16))
    with pytest.raises(PictureError, match="deep"):
        read_picture(path)


def test_other_channel_counts_are_refused(tmp_path, picture):
    Image.new("CMYK", (8, 8)).save(tmp_path / "print.jpg")
    with pytest.raises(PictureError, match=r"print.jpg has 4 channels \(CMYK\): save it as 8-bit grey or RGB"):
        read_picture(tmp_path / "print.jpg")
    with pytest.raises(PictureError, match="must have 1 or 3 channels"):
        as_rgb(picture[:, :, :2], name="an array")
    with pytest.raises(PictureError, match="8-bit"):
        as_rgb(picture.astype(np.uint16), name="an array")


def test_bytes_are_decoded_as_files_are(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_picture((tmp_path / "a.png").read_bytes(), name="a"), picture)


def test_a_picture_of_tile_size_is_not_touched_and_others_are_resized(picture):
    square = picture[:, :20]
    np.testing.assert_array_equal(resize_to_tile(square, tile_px=20)[0], square)
    assert resize_to_tile(picture, tile_px=16).shape == (1, 16, 16, 3)
    halved = resize_to_tile(np.kron(square, np.ones((2, 2, 1), np.uint8)), tile_px=20)[0]
    np.testing.assert_array_equal(halved, square)


def test_everything_above_zero_is_defect_and_masks_stay_sharp(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4, 2:4], mask[6, 6] = 1, 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", like=(8, 8), tile_px=8), mask > 0)
    grown = read_mask(tmp_path / "m.png", like=(8, 8), tile_px=16)
    np.testing.assert_array_equal(grown, np.kron(mask > 0, np.ones((2, 2), np.bool_)))


def test_the_papers_crop_takes_the_middle_of_larger_pictures_and_their_masks_alike(tmp_path):
    half = np.random.default_rng(0).integers(0, 256, (30, 45, 3), np.uint8)
    picture = np.kron(half, np.ones((2, 2, 1), np.uint8))  # 60 x 90: its shorter side twice 30
    tile = resize_to_tile(picture, tile_px=20, resize_px=30)
    np.testing.assert_array_equal(tile[0], half[5:25, 12:32])
    Image.fromarray((picture > 200).astype(np.uint8)).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", like=(60, 90), tile_px=20, resize_px=30)
    np.testing.assert_array_equal(mask, (half[5:25, 12:32] > 200).max(2))
    Image.fromarray((half > 200).astype(np.uint8)).save(tmp_path / "half.png")  # a mask at half its picture's scale
    halved = read_mask(tmp_path / "half.png", like=(60, 90), tile_px=20, resize_px=30)
    np.testing.assert_array_equal(halved, mask)
    small = half[:20]  # not larger than a tile: whole
    np.testing.assert_array_equal(resize_to_tile(small, tile_px=20, resize_px=30), resize_to_tile(small, tile_px=20))


def test_a_mask_of_another_shape_than_its_picture_is_refused_with_both_sizes(tmp_path):
    Image.fromarray(np.ones((30, 45), np.uint8)).save(tmp_path / "m.png")
    for like in ((45, 30), (30, 40), (30, 50)):
        with pytest.raises(PictureError, match=rf"m.png is 45 x 30 px, its picture {like[1]} x {like[0]} px"):
            read_mask(tmp_path / "m.png", like=like, tile_px=20)
    assert read_mask(tmp_path / "m.png", like=(1000, 1495), tile_px=20).all()  # rounded when it was made smaller
