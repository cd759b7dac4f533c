"""A style added by its statistics: the others to the bit, its own numbers against plain ones, held-out frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cras_core.added_style import (
    LEAST_FRAMES,
    PRIOR_VECTORS,
    add_style,
    learn_statistics,
    refer,
    remove_style,
)
from cras_core.bundle import WEIGHTS, load_bundle, load_model, read_manifest, read_tiles, save_bundle
from cras_core.config import CrasConfig
from cras_core.errors import DataSetError
from cras_core.features import Extractor, NormalSample, extract_features
from cras_core.graph import ROUTE
from cras_core.reference import PlainGraph
from cras_core.scoring import Scorer
from cras_core.training import train

from .conftest import TILE_PX, normal_samples, spoil, weave

CPU = torch.device("cpu")


def twill(seed):
    """Another cloth: threads on the diagonal, darker. (64, 64, 3) uint8."""
    random = np.random.default_rng([9, seed])
    y, x = np.mgrid[:TILE_PX, :TILE_PX]
    grey = 90 + 40 * np.sin(2 * np.pi * (x + y) / 8 + random.uniform(0, 6)) + random.normal(0, 6, (TILE_PX, TILE_PX))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def twill_samples(count=24, *, style="twill"):
    return [NormalSample.from_pixels(twill(seed), style=style, group=f"roll-{seed // 4}") for seed in range(count)]


@pytest.fixture(scope="module")
def added(small_model):
    return add_style(small_model, twill_samples(), device=CPU, provenance={"data": "woven here"})


@pytest.fixture(scope="module")
def scorers(small_model, added, tmp_path_factory):
    """Of the bundles before and after."""
    folder = tmp_path_factory.mktemp("bundles")
    for name, model in (("before", small_model), ("after", added)):
        save_bundle(model, folder / name, name=name, provenance={}, metrics={})
    return [load_bundle(folder / name, device=CPU) for name in ("before", "after")]


def test_the_styles_there_were_score_as_before_to_the_bit(scorers):
    before, after = scorers
    assert after.styles == (*before.styles, "twill")
    tiles = np.stack([weave("canvas", 1), spoil(weave("canvas", 2))[0], weave("denim", 3), twill(900)])
    for style in before.styles:
        old, new = (scorer.score(tiles, style=style) for scorer in scorers)
        np.testing.assert_array_equal(old.maps, new.maps)
        np.testing.assert_array_equal(old.scores, new.scores)
        np.testing.assert_array_equal(old.thresholds, new.thresholds)


def test_a_tile_that_finds_its_style_itself_keeps_its_score_unless_it_finds_the_new_one(scorers):
    tiles = np.stack([weave(style, seed) for style in ("canvas", "denim") for seed in range(50, 60)])
    old, new = (scorer.score(tiles) for scorer in scorers)
    assert new.styles == old.styles
    np.testing.assert_array_equal(old.maps, new.maps)
    found = scorers[1].score(np.stack([twill(seed) for seed in range(900, 910)])).styles
    assert set(found) == {"twill"}


def test_no_gradient_step_is_taken(small_model, added):
    for part in ("adapter", "discriminator", "standardization"):
        then, now = (getattr(model.heads, part).state_dict() for model in (small_model, added))
        assert all(torch.equal(then[key], now[key]) for key in then)
    assert small_model.heads.styles == ("canvas", "denim")  # left as it was


def test_the_new_style_tells_a_stain_from_its_normal_fabric(scorers):
    after = scorers[1]
    normal = after.score(np.stack([twill(seed) for seed in range(900, 920)]), style="twill")
    stained = after.score(np.stack([spoil(twill(seed))[0] for seed in range(900, 920)]), style="twill")
    assert (normal.scores < normal.thresholds).mean() >= 0.9
    assert (stained.scores > stained.thresholds).all()


@pytest.fixture(scope="module")
def statistics(small_model):
    """Heads of twill alone, by all but the last 8 tiles; the features; the reference."""
    extractor = Extractor(small_model.backbone, small_model.config, device=CPU)
    features = extract_features(twill_samples(), extractor, small_model.config, progress=lambda _: None)
    reference = refer(small_model, small_model.heads, extractor)
    kept = np.arange(16)
    return learn_statistics(small_model.heads, "twill", features, kept, reference), features, reference


def test_its_vectors_are_shifted_to_the_mean_of_the_models_own_normal_tiles(small_model, statistics):
    heads, features, _ = statistics
    extractor = Extractor(small_model.backbone, small_model.config, device=CPU)
    own = heads.standardization(features.take(np.arange(16))).flatten(0, 1).mean(0)
    known = heads.standardization(extractor.extract(small_model.tiles)).flatten(0, 1).mean(0)
    torch.testing.assert_close(heads.style_shifts[0], own - known, atol=1e-4, rtol=1e-4)


def test_its_normal_logits_have_the_references_mean_and_deviation_center_by_center(statistics):
    heads, features, reference = statistics
    plain = heads.with_styles(heads.styles)
    plain.logit_gains.fill_(1)
    plain.logit_shifts.zero_()
    x, zero = features.take(np.arange(16)), torch.zeros(16, dtype=torch.int64)
    with torch.no_grad():
        logits = plain(x, zero).flatten().double().numpy()
        places = plain.match(plain.adapt(x, zero), zero).flatten().numpy()
    means, variances = [], []
    for center in range(8):
        mine = logits[places == center]
        means.append((mine.sum() + PRIOR_VECTORS * logits.mean()) / (len(mine) + PRIOR_VECTORS))
    within = np.mean([(logit - means[place]) ** 2 for logit, place in zip(logits, places, strict=True)])
    for center in range(8):
        spread = ((logits[places == center] - means[center]) ** 2).sum()
        variances.append((spread + PRIOR_VECTORS * within) / ((places == center).sum() + PRIOR_VECTORS))
    gains = reference.logit_deviation / np.sqrt(variances)
    np.testing.assert_allclose(heads.logit_gains[0].numpy(), gains, rtol=1e-3)
    np.testing.assert_allclose(
        heads.logit_shifts[0].numpy(), reference.logit_mean - gains * means, rtol=1e-3, atol=1e-3
    )


def test_frames_left_out_say_nothing_in_what_scores_them(small_model, statistics):
    heads, features, reference = statistics
    spoiled = features.vectors.copy()
    spoiled[16:] = 7
    again = learn_statistics(small_model.heads, "twill", replace(features, vectors=spoiled), np.arange(16), reference)
    for name, value in heads.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_threshold_says_what_it_rests_on(added):
    facts = added.styles["twill"]
    assert facts.provisional
    assert (facts.tiles, facts.groups) == (24, 6)
    assert facts.threshold.held_out_tiles == 24
    assert facts.threshold.held_out_groups == 6
    assert facts.threshold.calibration == "crossfit of statistics"
    assert facts.threshold.metres == pytest.approx(24 * TILE_PX * 0.2 / 1000)
    assert facts.threshold.extrapolated
    assert facts.threshold.more_metres_needed > 0


def test_a_rarer_rate_asks_for_a_higher_threshold(small_model, added):
    rare = add_style(small_model, twill_samples(), device=CPU, false_alarms_per_100m=1.0).styles["twill"].threshold
    assert rare.asked_per_100m == 1.0
    assert rare.value > added.styles["twill"].threshold.value


def test_it_goes_through_a_bundle_and_out_of_it_again(added, small_model, tmp_path):
    save_bundle(added, tmp_path / "more", name="more", provenance={}, metrics={})
    entry = read_manifest(tmp_path / "more")["styles"]["twill"]
    assert (entry["provisional"], entry["learned"], entry["provenance"]) == (True, "added", {"data": "woven here"})
    assert not read_manifest(tmp_path / "more")["styles"]["denim"]["provisional"]
    again = load_model(tmp_path / "more")
    assert again.styles == added.styles
    less = remove_style(again, "twill")
    save_bundle(less, tmp_path / "less", name="less", provenance={}, metrics={})
    save_bundle(small_model, tmp_path / "first", name="first", provenance={}, metrics={})
    assert (tmp_path / "less" / WEIGHTS).read_bytes() == (tmp_path / "first" / WEIGHTS).read_bytes()
    np.testing.assert_array_equal(read_tiles(tmp_path / "less"), small_model.tiles)


def test_a_style_in_the_middle_is_removed_with_its_tiles(added):
    less = remove_style(added, "denim")
    assert less.heads.styles == ("canvas", "twill")
    assert torch.equal(less.heads.centers, added.heads.centers[[0, 2]])
    counts = [facts.kept_tiles for facts in added.styles.values()]
    np.testing.assert_array_equal(less.tiles[counts[0] :], added.tiles[counts[0] + counts[1] :])
    with pytest.raises(DataSetError, match="is the only one"):
        remove_style(remove_style(less, "twill"), "canvas")
    with pytest.raises(DataSetError, match="style denim is not in the bundle"):
        remove_style(less, "denim")


def test_what_cannot_be_added_is_refused(small_model):
    with pytest.raises(DataSetError, match=f"19 normal frames, {LEAST_FRAMES} at least"):
        add_style(small_model, twill_samples(19), device=CPU)
    with pytest.raises(DataSetError, match="style denim is in the bundle already"):
        add_style(small_model, twill_samples(style="denim"), device=CPU)
    with pytest.raises(DataSetError, match=r"are of 2: other, twill"):
        add_style(small_model, [*twill_samples(), *twill_samples(style="other")], device=CPU)


def test_constant_frames_are_no_special_case(small_model):
    grey = np.full((TILE_PX, TILE_PX, 3), 128, np.uint8)
    samples = [NormalSample.from_pixels(grey, style="paper", group=str(number)) for number in range(20)]
    model = add_style(small_model, samples, device=CPU)
    assert all(bool(torch.isfinite(value).all()) for value in model.heads.state_dict().values())
    assert np.isfinite(model.styles["paper"].threshold.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"centers": "position", "routing": "cosine", "standardize": False, "noise_deviation": 0.5},
        {"centers": "position", "matching": "position", "score_scale": "probability"},
        {"centers": "sample"},
    ],
    ids=["paper", "by-position", "sample"],
)
def test_other_recipes_take_a_style_too_and_keep_the_others(changes):
    config = CrasConfig(
        backbone="efficientnet_lite0",
        tile_px=TILE_PX,
        batch_size=4,
        steps=8,
        vectors_per_tile=32,
        calibration="holdout",
        **changes,
    )
    before = train(normal_samples(count=4), config, device=CPU)
    after = add_style(before, twill_samples(), device=CPU)
    tiles = np.stack([weave("canvas", 1), weave("denim", 3), twill(900)])

    def scorer(model):
        styles = {name: {"threshold": facts.threshold.value} for name, facts in model.styles.items()}
        return Scorer(name="", backbone=model.backbone, heads=model.heads, manifest={"styles": styles}, device=CPU)

    old, new = scorer(before), scorer(after)
    for style in before.styles:
        np.testing.assert_array_equal(old.score(tiles, style=style).maps, new.score(tiles, style=style).maps)
    plain = PlainGraph(new.graph.backbone, new.graph.embedding, after.heads)
    for style in (2, ROUTE):
        given = torch.full((3,), style)
        with torch.no_grad():
            wanted, got = (graph(torch.from_numpy(tiles), given) for graph in (plain, new.graph))
        assert torch.equal(wanted[2], got[2])
        near = torch.isclose(got[0], wanted[0], atol=1e-3, rtol=1e-3)
        assert near.float().mean() > 0.95  # a vector as near to two centers may go to either


def test_in_half_precision_the_styles_scale_stays_single(scorers):
    from cras_core.runtimes.torch_runtime import TorchRuntime

    half = TorchRuntime(scorers[1].graph, device=CPU, precision="bfloat16")
    assert half._graph.heads.gains.dtype == torch.float32
    assert half._graph.heads.second.dtype == torch.bfloat16
