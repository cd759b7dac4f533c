"""Every runtime of this machine decides as PyTorch in float32 does, or is not used."""

import importlib.util
import json
import os

import numpy as np
import pytest
import torch

from cras_core.bundle import TILES, load_bundle, read_tiles
from cras_core.errors import BundleError, EngineError
from cras_core.graph import ROUTE
from cras_core.parity import compare, run, with_defects
from cras_core.runtimes.base import Answer
from cras_core.runtimes.builders import BUILDERS, REFERENCE, build, present
from cras_core.runtimes.selection import check_runtime, choose_runtime, use_runtime

CPU = torch.device("cpu")


@pytest.fixture
def scorer(small_bundle):
    return load_bundle(small_bundle, device=CPU)


def needs(name):
    """Skips where an optional part is missing, and fails in CI."""
    if name not in present(CPU):
        missing = name.startswith("openvino") and importlib.util.find_spec("openvino") is None
        if missing and os.environ.get("CI"):
            pytest.fail("openvino is not installed")
        pytest.skip(f"{name} does not work on this machine")


@pytest.fixture(scope="module")
def built(small_bundle):
    """Makes each runtime once: OpenVINO's take their time."""
    scorer, made = load_bundle(small_bundle, device=CPU), {}

    def get(name):
        needs(name)
        if name not in made:
            made[name] = build(name, scorer.graph, device=CPU, tiles=read_tiles(small_bundle))
        return made[name]

    return get


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "torch-float16"])
def test_a_runtime_decides_as_the_reference(scorer, small_bundle, built, name):
    runtime = built(name)
    parity = compare(runtime, scorer.reference, with_defects(read_tiles(small_bundle)), scorer.thresholds)
    assert runtime.name == name
    assert parity.routing == 1
    assert parity.decisions > 0.9
    if name in (REFERENCE, "openvino-f32"):
        assert parity.problem(exact=True) == ""


def test_a_runtimes_answer_has_its_forms_and_does_not_depend_on_the_batch(small_bundle, built):
    tiles = read_tiles(small_bundle)[:5]
    runtime = built("openvino-f32")
    whole = runtime.score(tiles, np.array([0, 1, ROUTE, ROUTE, 1]))
    assert whole.maps.shape == tiles.shape[:3]
    assert (whole.maps.dtype, whole.scores.dtype, whole.styles.dtype) == (np.float32, np.float32, np.int64)
    alone = runtime.score(tiles[2:3], np.array([ROUTE]))
    np.testing.assert_allclose(alone.maps[0], whole.maps[2], atol=1e-4)


class Deaf:
    """A runtime that answers as another does, but hears only half of every score."""

    name = "torch-bfloat16"

    def __init__(self, other):
        self.other = other

    def score(self, tiles, styles):
        answer = self.other.score(tiles, styles)
        return Answer(answer.maps / 2, answer.scores / 2, answer.styles)


def test_a_runtime_that_decides_otherwise_is_refused_with_the_reason(scorer, small_bundle, monkeypatch):
    tiles = read_tiles(small_bundle)
    monkeypatch.setitem(BUILDERS, "torch-bfloat16", lambda _graph, _device, _tiles: Deaf(scorer.reference))
    monkeypatch.setattr("cras_core.runtimes.builders.present", lambda _device: [REFERENCE, "torch-bfloat16"])
    with pytest.raises(EngineError, match=r"torch-bfloat16 does not agree .* score error is 0\.\d+, allowed is 0\.1"):
        check_runtime(scorer, "torch-bfloat16", tiles)


def test_a_runtime_that_gives_no_numbers_is_refused(scorer, small_bundle):
    class Silent(Deaf):
        def score(self, tiles, styles):
            answer = self.other.score(tiles, styles)
            return Answer(answer.maps * np.nan, answer.scores * np.nan, answer.styles)

    parity = compare(Silent(scorer.reference), scorer.reference, read_tiles(small_bundle), scorer.thresholds)
    assert "score error is nan" in parity.problem(exact=False)


def test_the_fastest_that_agrees_is_chosen_once_and_remembered(scorer, small_bundle, tmp_path):
    memory = tmp_path / "runtimes.json"
    names = ["torch-bfloat16", "openvino-f32"]
    tried = choose_runtime(scorer, small_bundle, memory=memory, names=names)
    fitting = {each.name: each.tiles_per_s for each in tried if not each.problem}
    assert {each.name for each in tried} == {REFERENCE, *names} & set(present(CPU))
    assert scorer.runtime.name == max(fitting, key=fitting.get)
    assert list(json.loads(memory.read_text()).values()) == [scorer.runtime.name]
    again = load_bundle(small_bundle, device=CPU)
    assert choose_runtime(again, small_bundle, memory=memory, names=names) == []
    assert again.runtime.name == scorer.runtime.name


def test_a_damaged_memory_costs_a_trial_and_nothing_more(scorer, small_bundle, tmp_path):
    memory = tmp_path / "runtimes.json"
    memory.write_text("{")
    assert choose_runtime(scorer, small_bundle, memory=memory, names=[])
    assert scorer.runtime.name == REFERENCE


def test_a_stop_ends_the_trials_and_leaves_the_reference(scorer, small_bundle, tmp_path):
    assert choose_runtime(scorer, small_bundle, memory=tmp_path / "runtimes.json", stop=lambda: True) == []
    assert scorer.runtime is scorer.reference


def test_a_runtime_unknown_or_not_of_this_machine_is_refused(scorer, small_bundle):
    with pytest.raises(EngineError, match="runtime must be one of torch-float32"):
        use_runtime(scorer, small_bundle, "abacus")
    with pytest.raises(EngineError, match="torch-float16 does not work on this machine's cpu"):
        use_runtime(scorer, small_bundle, "torch-float16")


def test_the_kept_tiles_are_normal_ones_of_every_style(scorer, small_bundle, small_model):
    tiles = read_tiles(small_bundle)
    np.testing.assert_array_equal(tiles, small_model.tiles)
    assert set(run(scorer.reference, tiles).styles) == {0, 1}


def test_damaged_tiles_are_named(small_bundle, tmp_path):
    (tmp_path / "b").mkdir()
    for file in small_bundle.iterdir():
        (tmp_path / "b" / file.name).write_bytes(file.read_bytes()[: -1 if file.name == TILES else None])
    with pytest.raises(BundleError, match=r"tiles\.png is damaged"):
        read_tiles(tmp_path / "b")


def test_defects_are_drawn_on_every_second_tile_only():
    tiles = np.full((4, 64, 64, 3), 120, np.uint8)
    changed = (with_defects(tiles) != tiles).any(axis=(1, 2, 3))
    assert changed.tolist() == [False, True, False, True]
    assert (tiles == 120).all()
