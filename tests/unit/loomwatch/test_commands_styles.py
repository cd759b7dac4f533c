"""`loomwatch styles` from end to end: frames in every layout, a new whole bundle, one line for what cannot be."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cras_core.bundle import load_bundle, read_manifest, save_bundle
from cras_core.config import CrasConfig
from cras_core.training import train
from loomwatch.cli import run
from loomwatch.normal_frames import find_normal
from tests.unit.cras_core.conftest import normal_samples, weave
from tests.unit.cras_core.test_added_style import twill


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = CrasConfig(
        backbone="efficientnet_lite0", tile_px=64, centers_per_style=8, batch_size=4, steps=20, vectors_per_tile=32
    )
    folder = tmp_path_factory.mktemp("bundles") / "small"
    model = train(normal_samples(count=8), config, device=torch.device("cpu"))
    save_bundle(model, folder, name="small", provenance={"data": "woven here"}, metrics={"loss": 0.5})
    return folder


def write_tiles(folder: Path, count: int, cloth=twill, first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        Image.fromarray(cloth(number)).save(folder / f"strip{number // 4}_{number % 4:04d}.png")
    return folder


def test_a_style_is_added_listed_and_removed(bundle, tmp_path, capsys):
    data = write_tiles(tmp_path / "twill", 20)
    more, figures = tmp_path / "more", tmp_path / "figures.json"
    assert run(["styles", "add", str(bundle), "--data", str(data), "--out", str(more), "--json", str(figures)]) == 0
    manifest = read_manifest(more)
    assert list(manifest["styles"]) == ["canvas", "denim", "twill"]
    assert (manifest["name"], manifest["provenance"], manifest["metrics"]) == (
        "more", {"data": "woven here"}, {"loss": 0.5},
    )  # fmt: skip
    entry = manifest["styles"]["twill"]
    assert (entry["provisional"], entry["tiles"], entry["groups"]) == (True, 20, 5)
    assert entry["provenance"]["bundle_sha256"] == read_manifest(bundle)["manifest_sha256"]
    assert entry["provenance"]["frames"] == 20
    assert json.loads(figures.read_text())["styles"] == manifest["styles"]

    capsys.readouterr()
    assert run(["styles", "list", str(more)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "provisional" in said
    assert "twill: crossfit of statistics, 20 tiles of 5 strips or frames held out in turn" in said
    assert "a tail extrapolation" in said
    assert "m more of normal fabric would show the rate" in said

    less = tmp_path / "less"
    assert run(["styles", "remove", str(more), "twill", "--out", str(less)]) == 0
    tiles = np.stack([weave("denim", 1), weave("canvas", 2)])
    scored = [load_bundle(each, device=torch.device("cpu")).score(tiles) for each in (bundle, more, less)]
    np.testing.assert_array_equal(scored[0].maps, scored[1].maps)
    np.testing.assert_array_equal(scored[0].maps, scored[2].maps)


def test_fine_tuning_needs_the_other_styles_and_sets_them_anew(bundle, tmp_path, capsys):
    data = write_tiles(tmp_path / "twill", 20)
    add = ["styles", "add", str(bundle), "--data", str(data), "--out", str(tmp_path / "tuned")]
    assert run([*add, "--finetune"]) == 2
    assert "--finetune changes what every style scores" in capsys.readouterr().err
    others = tmp_path / "others"
    write_tiles(others / "canvas/train/good", 8, lambda seed: weave("canvas", seed))
    assert run([*add, "--finetune", "--others", str(others)]) == 2
    assert "holds no denim, which the bundle knows" in capsys.readouterr().err
    write_tiles(others / "denim/train/good", 8, lambda seed: weave("denim", seed))
    assert run([*add, "--others", str(others)]) == 2
    assert "--others is for --finetune" in capsys.readouterr().err
    assert run([*add, "--finetune", "--others", str(others)]) == 0
    styles = read_manifest(tmp_path / "tuned")["styles"]
    assert [facts["provisional"] for facts in styles.values()] == [False, False, False]
    assert styles["canvas"]["threshold_set"]["calibration"] == "crossfit of fine-tuning"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], "has 19 normal frames, 20 at least are needed"),
        (["--style", "denim"], "style denim is in the bundle already"),
        (["--mm-per-px", "0.4"], "sees 0.2 mm/px, the frames have 0.4"),
        (["--out", "."], "is there already: name another folder with --out"),
        (["--mm-per-px", "nan"], "--mm-per-px"),
        (["--false-alarms", "0"], "--false-alarms must be finite and greater than 0, got 0"),
        (["--false-alarms", "inf"], "--false-alarms must be finite and greater than 0, got inf"),
    ],
)
def test_what_cannot_be_is_one_line(bundle, tmp_path, capsys, options, line):
    data = write_tiles(tmp_path / "twill", 19)
    assert run(["styles", "add", str(bundle), "--data", str(data), *options]) == 2
    assert line in " ".join(capsys.readouterr().err.split())
    assert [each.name for each in bundle.parent.iterdir()] == [bundle.name]


def test_a_bad_frame_is_named_and_nothing_is_written(bundle, tmp_path, capsys):
    data = write_tiles(tmp_path / "twill", 20)
    (data / "strip2_0001.png").write_bytes(b"no picture")
    assert run(["styles", "add", str(bundle), "--data", str(data), "--out", str(tmp_path / "more")]) == 2
    assert "strip2_0001.png" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()


def test_frames_are_cut_between_the_fabrics_edges_and_each_is_a_group(tmp_path):
    frame = np.full((64, 300, 3), 250, np.uint8)
    random = np.random.default_rng(0)
    frame[:, 60:] = 128 + 60 * np.sin(np.arange(240) / 1.2)[None, :, None] * np.sin(np.arange(64) / 1.1)[:, None, None]
    for kind in ("good", "defect"):
        (tmp_path / "linen" / kind).mkdir(parents=True)
        for number in range(3):
            noisy = np.clip(frame + random.normal(0, 4, frame.shape[:2])[:, :, None], 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / "linen" / kind / f"frame_{number}.png")
    samples = find_normal(tmp_path / "linen", style="", tile_px=64)
    assert [sample.style for sample in samples] == ["linen"] * 3  # those beside good/ are not learned from
    assert [sample.group for sample in samples] == ["frame_0", "frame_1", "frame_2"]
    assert samples[0].read().shape[1] == pytest.approx(240, abs=6)


def test_one_style_of_a_data_set_is_chosen_by_name(tmp_path):
    for name in ("linen", "silk"):
        write_tiles(tmp_path / name / "train/good", 5)
    assert {sample.style for sample in find_normal(tmp_path, style="silk", tile_px=64)} == {"silk"}
    assert {sample.style for sample in find_normal(tmp_path / "silk", style="satin", tile_px=64)} == {"satin"}
    with pytest.raises(Exception, match="holds 2 styles: choose one with --style, of linen, silk"):
        find_normal(tmp_path, style="", tile_px=64)
