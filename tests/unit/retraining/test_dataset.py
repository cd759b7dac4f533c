"""Which samples may be learned from, and what is said when they may not."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from inspection.errors import StorageError
from retraining.dataset import check_samples, count_tiles, normal_samples, sample_counts
from storage.samples import Sample
from tests.records import encode_png, make_png


def sample(pictures, number=0, *, style="twill", size_px=256, source="golden", mm_per_px=0.2):
    key = f"samples/{style}/{number}.png"
    pictures.put(key, make_png(number, size_px=size_px))
    return Sample(
        id=number,
        style=style,
        picture=key,
        source=source,
        roll_group=f"g{number}",
        defect_id=None,
        mm_per_px=mm_per_px,
        active=True,
        by="eva",
        created_at=datetime.now(UTC),
    )


def check(pictures, samples, styles=()):
    check_samples(samples, pictures, styles=styles, tile_px=64, mm_per_px=0.2)


def test_enough_samples_of_every_style_pass(pictures):
    check(pictures, [sample(pictures), sample(pictures, style="plain")], styles=("twill",))


def test_a_style_with_too_few_tiles_is_named_with_the_way_out(pictures):
    few = [sample(pictures), *(sample(pictures, number, style="plain", size_px=64) for number in range(7))]
    with pytest.raises(StorageError, match=r"style plain has samples for 7 tiles of 64 px, .*loomwatch samples add"):
        check(pictures, few)
    check(pictures, [*few, sample(pictures, 7, style="plain", size_px=64)])


def test_a_style_of_the_running_model_is_not_forgotten(pictures):
    with pytest.raises(StorageError, match=r"style plain, which the running model knows, .*loomwatch samples add"):
        check(pictures, [sample(pictures)], styles=("plain", "twill"))


def test_nothing_to_learn_from_says_so(pictures):
    with pytest.raises(StorageError, match=r"no samples of normal fabric: add some first \(loomwatch samples add"):
        check(pictures, [])


def test_samples_of_another_scale_are_refused(pictures):
    with pytest.raises(StorageError, match=r"style twill has a sample at 0\.4 mm/px, the model sees 0\.2 mm/px"):
        check(pictures, [sample(pictures), sample(pictures, 1, mm_per_px=0.4)])


def test_a_sample_smaller_than_a_tile_is_named(pictures):
    with pytest.raises(StorageError, match=r"sample samples/twill/1\.png of style twill is 32 x 32 px, smaller than"):
        check(pictures, [sample(pictures), sample(pictures, 1, size_px=32)])


@pytest.mark.parametrize(("size_px", "tiles"), [(64, 1), (65, 4), (128, 4), (129, 9)])
def test_tiles_are_counted_as_they_are_cut(pictures, size_px, tiles):
    one = sample(pictures, size_px=size_px)
    assert count_tiles(one, pictures, tile_px=64) == tiles
    (normal,) = normal_samples([one], pictures)
    assert len(normal.cut(tile_px=64).tiles) == tiles


def test_a_normal_sample_carries_style_group_and_pixels(pictures):
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    one = sample(pictures)
    pictures.put(one.picture, encode_png(rgb))
    (normal,) = normal_samples([one], pictures)
    assert (normal.style, normal.group) == ("twill", "g0")
    assert np.array_equal(normal.read(), rgb)


def test_counts_tell_styles_and_sources(pictures):
    one = sample(pictures)
    samples = [one, one, replace(one, source="review"), replace(one, style="plain")]
    assert sample_counts(samples) == {"plain": {"golden": 1}, "twill": {"golden": 2, "review": 1}}
