"""Every runtime of this machine decides as PyTorch in float32 does, or is not used."""

import importlib.util
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cras_core.backbone import build_backbone
from cras_core.bundle import TILES, load_bundle, read_tiles
from cras_core.config import CrasConfig
from cras_core.errors import BundleError, EngineError
from cras_core.features import Extractor
from cras_core.graph import ROUTE, ScoringGraph
from cras_core.heads import Heads
from cras_core.parity import compare, compare_answers, run, with_defects
from cras_core.runtimes import compiled_runtime, openvino_runtime
from cras_core.runtimes.base import Answer
from cras_core.runtimes.builders import BUILDERS, REFERENCE, Builder, build, builder, present, worth_a_trial
from cras_core.runtimes.compiled_runtime import CompiledRuntime
from cras_core.runtimes.exports import EXACT, RECORD, export, load_export
from cras_core.runtimes.openvino_runtime import OpenvinoRuntime
from cras_core.runtimes.selection import find_runtime, use_runtime
from cras_core.runtimes.torch_runtime import TorchRuntime

CPU = torch.device("cpu")


@pytest.fixture
def scorer(small_bundle):
    return load_bundle(small_bundle, device=CPU)


def needs(name):
    """Skips where an optional part is missing, and fails in CI."""
    if name not in present(CPU):
        if name == "torch-float16":
            pytest.skip("float16 is for GPUs")
        package = {"openvino": "openvino", "onnx": "onnxruntime"}.get(name.partition("-")[0])
        if package and importlib.util.find_spec(package) is None and os.environ.get("CI"):
            pytest.fail(f"{package} is not installed")
        pytest.skip(f"{name} does not work on this machine")


@pytest.fixture(scope="module")
def exports(small_bundle, tmp_path_factory):
    """Makes each runtime once: they take their time. Checked against limits that nothing misses."""
    scorer, place, made = load_bundle(small_bundle, device=CPU), tmp_path_factory.mktemp("exports"), {}

    def get(name):
        needs(name)
        if name not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("cras_core.parity.CLOSE", {})
                made[name] = export(scorer, name, read_tiles(small_bundle), place / name)
        return made[name], place / name

    return get


@pytest.mark.parametrize("name", [name for name in BUILDERS if name.startswith(("torch-", "openvino-", "onnx-"))])
def test_a_runtime_decides_as_the_reference(scorer, small_bundle, exports, name):
    runtime, _ = exports(name)
    parity = compare(runtime, scorer.reference, with_defects(read_tiles(small_bundle)), scorer.thresholds)
    assert runtime.name == name
    assert parity.routing == 1
    assert parity.decisions > 0.9
    if name.endswith(EXACT):
        assert parity.problem(exact=True) == ""


def little_graph() -> ScoringGraph:
    config = CrasConfig(
        backbone="efficientnet_lite0", tile_px=64, levels=(1,), centers_per_style=8
    )  # few layers: each is compiled
    extractor = Extractor(build_backbone(config.backbone, levels=config.levels), config, device=CPU)
    heads = Heads(
        config=config,
        styles=("a", "b"),
        dim=extractor.dim,
        positions=extractor.positions,
        generator=torch.Generator().manual_seed(0),
    ).eval()
    heads.centers.normal_(generator=torch.Generator().manual_seed(1))
    heads.routing_weights.normal_(generator=torch.Generator().manual_seed(2))
    return ScoringGraph(extractor.backbone, extractor.embedding, heads, grids_px=extractor.grids_px).eval()


def test_the_second_compiled_part_is_made_for_the_first_ones_results_as_they_lie(tmp_path, monkeypatch):
    """Its code reads them so, whatever their strides; of which networks they change is the compiler's affair."""
    graph, made = little_graph(), {}

    def first(tiles):
        levels, routed = graph.embed(graph.start(tiles))
        return [level.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0) for level in levels], routed

    monkeypatch.setattr(compiled_runtime, "_compile", lambda _, example, file: made.update({file.stem: example}))
    monkeypatch.setattr(compiled_runtime, "_load", lambda _: first)
    compiled_runtime.export(graph, tmp_path, precision="float32")
    levels, _ = made["compare"]
    wanted, _ = first(torch.zeros(graph.tiles_at_once, 64, 64, 3, dtype=torch.uint8))
    assert [level.stride() for level in levels] == [level.stride() for level in wanted]


def test_a_compiled_graph_scores_as_the_one_it_was_made_of(tmp_path):
    if not compiled_runtime.supported():
        pytest.fail("CI needs g++") if os.environ.get("CI") else pytest.skip("there is no g++ to compile with")
    graph = little_graph()
    compiled_runtime.export(graph, tmp_path, precision="float32")
    compiled = CompiledRuntime(graph, tmp_path, precision="float32")
    tiles = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3)).astype(np.uint8)
    styles = np.array([0, 1, ROUTE, 1, ROUTE, 0])
    got, wanted = (runtime.score(tiles, styles) for runtime in (compiled, TorchRuntime(graph, device=CPU)))
    for own, expected in zip(got, wanted, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-4)
    (tmp_path / "compare.pt2").write_bytes(b"")
    with pytest.raises(EngineError, match="no whole export of compiled-float32"):
        CompiledRuntime(graph, tmp_path, precision="float32")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("name", ["cudagraphs-bfloat16", "cudagraphs-float16"])
def test_recorded_kernels_score_as_those_launched_one_by_one(small_bundle, tmp_path, name):
    scorer = load_bundle(small_bundle, device=torch.device("cuda"))
    recorded = export(scorer, name, read_tiles(small_bundle), tmp_path / "export")
    plain = build(name.replace("cudagraphs", "torch"), scorer.graph, tmp_path, device=scorer.device, tiles=np.empty(0))
    tiles = np.resize(with_defects(read_tiles(small_bundle)).tiles, (70, *read_tiles(small_bundle).shape[1:]))
    styles = np.resize([0, ROUTE, 1], 70)
    for _ in range(2):  # what one recording left must not reach into the next batch
        got, wanted = recorded.score(tiles, styles), plain.score(tiles, styles)
        np.testing.assert_array_equal(got.styles, wanted.styles)
        np.testing.assert_allclose(got.maps, wanted.maps, atol=0.05 * wanted.maps.max())
    np.testing.assert_allclose(recorded.score(tiles[:1], styles[:1]).maps, got.maps[:1], atol=1e-4)


def test_a_machine_with_openvino_does_not_compile_to_choose(monkeypatch):
    monkeypatch.setattr("cras_core.runtimes.compiled_runtime.supported", lambda: True)
    for engines in (["f32", "bf16"], []):
        monkeypatch.setattr("cras_core.runtimes.openvino_runtime.supported", lambda _, engines=engines: engines)
        compiled = [name for name in worth_a_trial(CPU) if name.startswith("compiled-")]
        assert {name for name in present(CPU) if name.startswith("compiled-")} >= {"compiled-float32", *compiled}
        assert len(compiled) == (0 if engines else 1)


def test_only_what_a_kind_of_machine_can_run_is_offered(monkeypatch):
    monkeypatch.setattr("cras_core.runtimes.compiled_runtime.supported", lambda: False)
    assert not any(name.startswith(("compiled", "cudagraphs")) for name in present(CPU))
    on_gpu = present(torch.device("cuda"))
    assert {"cudagraphs-bfloat16", "cudagraphs-float16"} < {*on_gpu}
    assert not any(name.startswith(("compiled", "openvino")) for name in on_gpu)
    with pytest.raises(EngineError, match=r"compiled-float32 does not work .*, or install a C\+\+ compiler"):
        builder("compiled-float32", CPU)


@pytest.mark.parametrize("name", [REFERENCE, "openvino-f32", "onnx-float32"])
def test_no_runtime_takes_more_tiles_at_once_than_its_step(scorer, small_bundle, exports, name, monkeypatch):
    runtime, _ = exports(name)
    most, inner = [], runtime._score
    monkeypatch.setattr(runtime, "_score", lambda tiles, styles: most.append(len(tiles)) or inner(tiles, styles))
    tiles = np.resize(read_tiles(small_bundle), (11, 64, 64, 3))
    assert len(runtime.score(tiles, np.full(11, ROUTE)).scores) == 11
    assert max(most) == scorer.graph.tiles_at_once


@pytest.mark.parametrize("name", [REFERENCE, "openvino-f32", "onnx-float32"])
def test_a_runtimes_answer_has_its_forms_and_does_not_depend_on_the_batch(scorer, small_bundle, exports, name):
    tiles, styles = read_tiles(small_bundle)[:5], np.array([0, 1, ROUTE, ROUTE, 1])
    runtime, _ = exports(name)
    whole = runtime.score(tiles, styles)
    assert whole.maps.shape == tiles.shape[:3]
    assert (whole.maps.dtype, whole.scores.dtype, whole.styles.dtype) == (np.float32, np.float32, np.int64)
    for number in range(5):
        alone = runtime.score(tiles[number : number + 1], styles[number : number + 1])
        np.testing.assert_allclose(alone.maps[0], whole.maps[number], atol=1e-4)
        np.testing.assert_allclose(alone.scores[0], whole.scores[number], atol=1e-4)
        assert alone.styles[0] == whole.styles[number]


def test_an_export_is_read_again_and_only_for_its_own_model(scorer, small_bundle, exports, tmp_path):
    runtime, folder = exports("openvino-f32")
    tiles, styles = read_tiles(small_bundle)[:3], np.full(3, ROUTE)
    again = load_export(scorer, folder)
    np.testing.assert_array_equal(again.score(tiles, styles).maps, runtime.score(tiles, styles).maps)
    other = load_bundle(small_bundle, device=CPU)
    other.manifest["manifest_sha256"] = "0" * 64
    with pytest.raises(EngineError, match="exported of another model"):
        load_export(other, folder)


def test_an_export_is_not_believed_on_another_processor(scorer, exports, monkeypatch):
    _, folder = exports("openvino-f32")
    monkeypatch.setattr("cras_core.device.processor", lambda: "another")
    with pytest.raises(EngineError, match=r"was checked on .*, this is another: export it here"):
        load_export(scorer, folder)


@pytest.mark.parametrize("file", ["compare.bin", "embed.xml", RECORD])
def test_a_damaged_export_is_refused_by_name(scorer, exports, tmp_path, file):
    _, folder = exports("openvino-f32")
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / file).write_bytes((copy / file).read_bytes()[:-20])
    with pytest.raises(EngineError, match=r"export it again|not a whole export"):
        load_export(scorer, copy)


def test_an_export_never_overwrites(scorer, exports, small_bundle):
    _, folder = exports("openvino-f32")
    with pytest.raises(EngineError, match="exists already"):
        export(scorer, "openvino-f32", read_tiles(small_bundle), folder)


class Deaf:
    """A runtime that answers as another does, but hears only half of every score."""

    name = "openvino-int8"

    def __init__(self, other):
        self.other = other

    def score(self, tiles, styles):
        answer = self.other.score(tiles, styles)
        return Answer(answer.maps / 2, answer.scores / 2, answer.styles)


def test_a_runtime_that_decides_otherwise_is_refused_with_the_reason_and_leaves_nothing(
    scorer, small_bundle, monkeypatch, tmp_path
):
    needs("openvino-int8")
    deaf = Builder(load=lambda _graph, _place, _device: Deaf(scorer.reference))
    monkeypatch.setattr("cras_core.runtimes.builders.builder", lambda _name, _device: deaf)
    with pytest.raises(EngineError, match=r"openvino-int8 does not agree .* score error is 0\.\d+, allowed is 0\.1"):
        export(scorer, "openvino-int8", read_tiles(small_bundle), tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_int8_takes_the_heads_only_where_their_layers_are_large(scorer, small_bundle, monkeypatch, tmp_path):
    needs("openvino-int8")
    tiles = read_tiles(small_bundle)
    for name, large in (("small", 2**18), ("large", 2**12)):
        (tmp_path / name).mkdir()
        monkeypatch.setattr("cras_core.runtimes.openvino_runtime.LARGE", large)
        openvino_runtime.export(scorer.graph, tmp_path / name, precision="int8", tiles=tiles)
        rounded = (tmp_path / name / "compare.xml").read_text().count("FakeQuantize")
        assert (rounded > 0) == (name == "large")
    whole = OpenvinoRuntime(scorer.graph, tmp_path / "large", precision="int8")
    parity = compare(whole, scorer.reference, with_defects(tiles), scorer.thresholds)
    assert parity.decisions > 0.95  # a narrow embedding's scores are off by a quarter: hence the limit
    assert parity.pixel_auroc_loss < 0.02


def test_a_runtime_that_gives_no_numbers_is_refused(scorer, small_bundle):
    class Silent(Deaf):
        def score(self, tiles, styles):
            answer = self.other.score(tiles, styles)
            return Answer(answer.maps * np.nan, answer.scores * np.nan, answer.styles)

    parity = compare(
        Silent(scorer.reference), scorer.reference, with_defects(read_tiles(small_bundle)), scorer.thresholds
    )
    assert "score error is nan" in parity.problem(exact=False)


def test_the_fastest_that_agrees_is_found_and_only_its_export_kept(scorer, small_bundle, tmp_path):
    names = [REFERENCE, "torch-bfloat16"]
    for name in names:
        needs(name)
    tried = find_runtime(scorer, read_tiles(small_bundle), tmp_path, names=[*names, "abacus"])
    fitting = {each.name: each.tiles_per_s for each in tried if not each.problem}
    assert {each.name for each in tried} == {*names, "abacus"}
    assert "abacus" not in fitting
    fastest = max(fitting, key=fitting.get)
    assert json.loads((tmp_path / "choice.json").read_text())["runtime"] == fastest
    assert {path.name for path in tmp_path.iterdir()} == {"choice.json", fastest} - {REFERENCE}


def test_a_model_scores_on_while_its_runtime_is_found_and_remembers_it(scorer, small_bundle, tmp_path):
    needs("openvino-f32")
    tiles, stop = read_tiles(small_bundle)[:2], threading.Event()
    expected, seen = scorer.score(tiles).maps, []

    def score():
        while not stop.wait(0.05):
            seen.append(np.array_equal(scorer.score(tiles).maps, expected))

    with ThreadPoolExecutor(1) as pool:
        scoring = pool.submit(score)
        try:
            tried = use_runtime(scorer, small_bundle, name="openvino-f32", memory=tmp_path)
        finally:
            before = len(seen)
            stop.set()
        scoring.result()
    assert [(each.name, each.problem) for each in tried] == [("openvino-f32", "")]
    assert scorer.runtime.name == "openvino-f32"
    assert before > 1
    assert all(seen[: before - 1])
    again = load_bundle(small_bundle, device=CPU)
    assert use_runtime(again, small_bundle, name="openvino-f32", memory=tmp_path) == []
    assert again.runtime.name == "openvino-f32"


def test_a_damaged_memory_is_no_memory(scorer, small_bundle, tmp_path, monkeypatch):
    tries = []

    def try_aside(_scorer, _bundle, place, **_):
        tries.append(place)
        place.mkdir(parents=True, exist_ok=True)
        (place / "choice.json").write_text(json.dumps({"runtime": REFERENCE, "tried": []}))
        return True

    monkeypatch.setattr("cras_core.runtimes.selection._try_aside", try_aside)
    for _ in range(2):
        use_runtime(scorer, small_bundle, name="auto", memory=tmp_path)
    assert len(tries) == 1
    (tries[0] / "choice.json").write_text("{")
    use_runtime(scorer, small_bundle, name="auto", memory=tmp_path)
    assert len(tries) == 2
    assert scorer.runtime is scorer.reference


def test_a_stop_ends_the_trial_and_leaves_the_reference(scorer, small_bundle, tmp_path):
    assert use_runtime(scorer, small_bundle, name="auto", memory=tmp_path, stop=lambda: True) == []
    assert scorer.runtime is scorer.reference


def test_a_trial_that_dies_is_told(scorer, small_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("cras_core.runtimes.selection.sys.executable", "/bin/false")
    with pytest.raises(EngineError, match="exit code 1"):
        use_runtime(scorer, small_bundle, name="auto", memory=tmp_path)
    assert scorer.runtime is scorer.reference


def test_a_runtime_unknown_or_not_of_this_machine_is_refused(scorer, small_bundle, tmp_path):
    with pytest.raises(EngineError, match="runtime must be one of torch-float32"):
        use_runtime(scorer, small_bundle, name="abacus", memory=tmp_path)
    with pytest.raises(EngineError, match="torch-float16 does not work on this machine's cpu"):
        use_runtime(scorer, small_bundle, name="torch-float16", memory=tmp_path)


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


def test_each_tile_is_compared_as_it_is_with_a_defect_and_with_a_faint_one():
    tiles = np.full((4, 64, 64, 3), 120, np.uint8)
    drawn = with_defects(tiles)
    assert len(drawn.tiles) == len(drawn.defects) == 12
    assert (drawn.tiles[::3] == tiles).all()
    assert (drawn.defects == (drawn.tiles != 120).any(3)).all()
    assert drawn.defects[1::3].any((1, 2)).all()
    contrast = np.abs(drawn.tiles.astype(int) - 120).max((1, 2, 3))
    assert (contrast[2::3] > 0).all()
    assert (contrast[2::3] < contrast[1::3] / 1.5).all()
    assert (tiles == 120).all()


def test_a_runtime_that_ranks_defects_lower_is_refused_though_its_scores_are_near():
    """Faint defects lie a little over normal tiles: what is lost there is AUROC, hardly any score."""
    random = np.random.default_rng(0)
    drawn = with_defects(np.full((20, 32, 32, 3), 120, np.uint8))
    maps = random.uniform(0.2, 0.3, (60, 32, 32)).astype(np.float32)
    maps[1::3][drawn.defects[1::3]] = 5
    maps[2::3][drawn.defects[2::3]] = 0.33
    wanted = Answer(maps, maps.max((1, 2)), np.repeat([0, 1], 30))
    thresholds = np.ones(2, np.float32)
    lost = maps.copy()
    lost[2::3][drawn.defects[2::3]] = 0.27
    found = Answer(lost, lost.max((1, 2)), wanted.styles)
    parity = compare_answers(found, wanted, drawn.defects, thresholds)
    assert parity.score_error < 0.1
    assert (parity.decisions, parity.mask_iou, parity.routing) == (1, 1, 1)

    for name, scores, truth in (
        ("image", (wanted.scores, found.scores), drawn.defects.any((1, 2))),
        ("pixel", (wanted.maps, found.maps), drawn.defects),
    ):
        means = [
            np.mean([roc_auc_score(truth[own].ravel(), each[own].ravel()) for own in (slice(0, 30), slice(30, 60))])
            for each in scores
        ]
        assert getattr(parity, f"{name}_auroc_loss") == pytest.approx(means[0] - means[1])
        assert means[0] - means[1] > 0.003
    assert "image auroc surely lost is 0." in parity.problem(exact=False)
    assert compare_answers(wanted, wanted, drawn.defects, thresholds).problem(exact=False) == ""


def test_ranks_that_rounding_deals_by_chance_are_no_loss():
    """A few tiles show AUROC to a point or so: a runtime of small, even errors must not fail by that."""
    failed = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        spoiled = np.arange(48) % 3 > 0
        scores = np.where(spoiled, random.lognormal(0.4, 0.3, 48), random.lognormal(0, 0.1, 48)).astype(np.float32)
        maps = np.repeat(scores[:, None, None], 2, axis=1)
        defects = np.zeros((48, 2, 1), np.bool_)
        defects[spoiled, 0] = True
        wanted = Answer(maps, scores, np.zeros(48, np.int64))
        found = Answer(maps, (scores * random.normal(1, 0.02, 48)).astype(np.float32), wanted.styles)
        parity = compare_answers(found, wanted, defects, np.ones(1, np.float32))
        truly, got = (roc_auc_score(spoiled, each.scores) for each in (wanted, found))
        assert parity.image_auroc_loss == pytest.approx(truly - got, abs=1e-9)
        failed += parity.image_auroc_surely_lost > 0.003
    assert failed <= 3
