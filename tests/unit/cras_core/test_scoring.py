"""Scoring: every tile by itself."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cras_core.errors import BundleError, PictureError

from .conftest import PERIODS, TILE_PX, spoil, weave


def cloth(*seeds, style="canvas"):
    return np.stack([weave(style, 90_000 + seed) for seed in seeds])


def test_a_stain_scores_above_everything_normal_and_lies_where_it_is(small_scorer):
    spoiled, mask = spoil(weave("canvas", 77))
    scored = small_scorer.score(np.concatenate([cloth(*range(10)), spoiled[None]]))
    assert scored.scores[-1] > scored.scores[:-1].max()
    y, x = np.unravel_index(scored.maps[-1].argmax(), mask.shape)
    assert mask[y, x]


def test_maps_and_scores_have_their_shapes_and_types(small_scorer):
    scored = small_scorer.score(cloth(*range(19)))
    assert (scored.maps.shape, scored.maps.dtype) == ((19, TILE_PX, TILE_PX), np.float32)
    assert (scored.scores.dtype, scored.thresholds.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(scored.scores, scored.maps.max(axis=(1, 2)))
    assert len(scored.styles) == 19


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    others=st.lists(st.tuples(st.sampled_from(sorted(PERIODS)), st.integers(0, 50)), max_size=20),
    place=st.integers(0, 20),
)
def test_a_tiles_score_does_not_depend_on_its_batch(small_scorer, others, place):
    tile = weave("canvas", 4321)
    batch = [weave(style, 7000 + seed) for style, seed in others]
    place = min(place, len(batch))
    batch.insert(place, tile)
    alone, among = small_scorer.score(tile[None]), small_scorer.score(np.stack(batch))
    assert among.styles[place] == alone.styles[0]
    np.testing.assert_allclose(among.maps[place], alone.maps[0], atol=2e-5)


def test_tiles_are_routed_to_their_own_style(small_scorer):
    for style in PERIODS:
        assert set(small_scorer.score(cloth(*range(12), style=style)).styles) == {style}


def test_a_known_style_is_compared_with_and_an_unknown_one_routed(small_scorer):
    tiles = cloth(1, 2, style="denim")
    assert small_scorer.score(tiles, style="canvas").styles == ("canvas", "canvas")
    assert small_scorer.score(tiles, style="satin").styles == ("denim", "denim")


def test_each_tile_gets_its_styles_threshold(small_scorer):
    scored = small_scorer.score(np.concatenate([cloth(1), cloth(1, style="denim")]))
    expected = [small_scorer.manifest["styles"][style]["threshold"] for style in ("canvas", "denim")]
    np.testing.assert_allclose(scored.thresholds, expected, rtol=1e-6)


def test_grey_tiles_score_as_the_same_tiles_in_three_channels(small_scorer):
    tiles = cloth(1, 2)
    np.testing.assert_array_equal(small_scorer.score(tiles[..., :1]).maps, small_scorer.score(tiles).maps)


def test_no_tiles_give_no_scores(small_scorer):
    scored = small_scorer.score(np.empty((0, TILE_PX, TILE_PX, 3), np.uint8))
    assert scored.maps.shape == (0, TILE_PX, TILE_PX)
    assert scored.styles == ()


@pytest.mark.parametrize(
    "tiles",
    [
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros((1, TILE_PX, TILE_PX, 2), np.uint8),
        np.zeros((TILE_PX, TILE_PX, 3), np.uint8),
        np.zeros((1, TILE_PX, TILE_PX, 3), np.uint16),
    ],
)
def test_tiles_of_another_form_are_refused(small_scorer, tiles):
    with pytest.raises(PictureError, match="tiles must"):
        small_scorer.score(tiles)


def test_frames_of_another_tile_size_or_scale_are_refused(small_scorer):
    small_scorer.check(tile_px=TILE_PX, mm_per_px=0.2)
    with pytest.raises(BundleError, match="small was trained on tiles of 64 px, not 256 px"):
        small_scorer.check(tile_px=256, mm_per_px=0.2)
    with pytest.raises(BundleError, match=r"small was trained at 0.2 mm/px, not 0.4 mm/px"):
        small_scorer.check(tile_px=TILE_PX, mm_per_px=0.4)
    with pytest.raises(BundleError, match="not nan mm/px"):
        small_scorer.check(tile_px=TILE_PX, mm_per_px=float("nan"))


def test_scoring_leaves_no_gradient_and_no_training_mode(small_scorer):
    small_scorer.score(cloth(1))
    assert torch.is_grad_enabled()
