"""Bad input: one clear line that names the thing and the way out, exit code 2, nothing stored is lost."""

import io
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from cras_core.backbone import weights_file
from cras_core.config import CrasConfig
from ingest.edges import find_edges
from ingest.simulator import normal_frames
from inspection.keys import new_key
from inspection.settings import StoreSettings, load
from loomwatch.cli import run
from loomwatch.commands_train import _config
from storage.database import open_database, upgrade

Fail = Callable[..., str]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LOOMWATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path / "line"))


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Fail:
    """Runs a command that must end with 2 and one line, which is returned."""

    def check(*arguments: object) -> str:
        capfd.readouterr()
        assert run([str(argument) for argument in arguments]) == 2
        error = capfd.readouterr().err.strip()
        assert "Traceback" not in error
        assert error.startswith("loomwatch: ")
        assert "\n" not in error, error
        return error

    return check


@cache
def cloth() -> np.ndarray:
    """Fabric without background, RGB."""
    (frame,) = normal_frames("twill", seed=1, length_m=0.0512, frame_lines=256)
    left, right = find_edges(frame)
    return frame[:, left + 8 : right - 8]


def picture(path: Path, *, width: int = 300, dtype: type = np.uint8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cloth()[:, :width].astype(dtype))
    return path


def normal(folder: Path, *, style: str = "plain", count: int = 4) -> Path:
    for number in range(count):
        picture(folder / style / "train" / "good" / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small")
    normal(place / "data")
    out = place / "bundle"
    assert run(["train", "--data", str(place / "data"), "--out", str(out), "--epochs", "1", "--tile", "64"]) == 0
    return out


def test_a_truncated_picture_is_named(fails: Fail, tmp_path: Path, small_bundle: Path) -> None:
    path = picture(tmp_path / "frames" / "a.png")
    path.write_bytes(path.read_bytes()[:500])
    picture(tmp_path / "frames" / "b.png")
    assert "a.png" in fails("inspect", tmp_path / "frames", "--bundle", small_bundle, "--out", tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert "error" in rows[0]
    assert "defects" in rows[1], "the other frames are inspected all the same"


def test_a_text_file_named_as_a_picture_is_named(fails: Fail, tmp_path: Path) -> None:
    normal(tmp_path / "data")
    (tmp_path / "data" / "plain" / "train" / "good" / "x.png").write_text("not a picture")
    assert "x.png" in fails("train", "--data", tmp_path / "data", "--out", tmp_path / "b", "--epochs", 1)
    assert not (tmp_path / "b").exists()


def test_a_picture_of_16_bits_is_named_with_the_way_out(fails: Fail, tmp_path: Path, small_bundle: Path) -> None:
    path = picture(tmp_path / "deep.png", dtype=np.uint16)
    error = fails("inspect", path, "--bundle", small_bundle, "--out", tmp_path / "out")
    assert "deep.png" in error
    assert "16" in error


def test_a_picture_of_four_channels_is_named(fails: Fail, tmp_path: Path, small_bundle: Path) -> None:
    Image.new("CMYK", (300, 300)).save(tmp_path / "print.jpg")
    assert "print.jpg" in fails("inspect", tmp_path / "print.jpg", "--bundle", small_bundle, "--out", tmp_path / "out")


def test_a_frame_narrower_than_a_tile_is_named_with_both_sizes(fails: Fail, tmp_path: Path, small_bundle: Path) -> None:
    path = picture(tmp_path / "narrow.png", width=48)
    error = fails("inspect", path, "--bundle", small_bundle, "--out", tmp_path / "out")
    assert "narrow.png" in error
    assert "64" in error


def test_an_empty_class_folder_is_named(fails: Fail, tmp_path: Path) -> None:
    normal(tmp_path / "data")
    (tmp_path / "data" / "twill" / "train" / "good").mkdir(parents=True)
    assert "twill" in fails("train", "--data", tmp_path / "data", "--out", tmp_path / "b")


def test_a_bundle_is_never_overwritten(fails: Fail, tmp_path: Path, small_bundle: Path) -> None:
    normal(tmp_path / "data")
    before = {path.name: path.read_bytes() for path in small_bundle.iterdir()}
    assert "is there already" in fails("train", "--data", tmp_path / "data", "--out", small_bundle)
    assert {path.name: path.read_bytes() for path in small_bundle.iterdir()} == before


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json"])
def test_a_flipped_byte_in_a_bundle_is_found_and_its_file_named(
    fails: Fail, tmp_path: Path, small_bundle: Path, name: str
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    frame = picture(tmp_path / "f.png")
    assert name in fails("inspect", frame, "--bundle", bundle, "--out", tmp_path / "out")
    upgrade(load(StoreSettings).database)
    assert name in fails("models", "import", bundle)


def test_a_bundle_of_another_scale_is_refused_with_both_scales(fails: Fail, tmp_path: Path, small_bundle: Path) -> None:
    frame = picture(tmp_path / "f.png")
    error = fails("inspect", frame, "--bundle", small_bundle, "--out", tmp_path / "o", "--mm-per-px", 0.4)
    assert "0.2" in error
    assert "0.4" in error
    assert "--mm-per-px" in fails(
        "inspect", frame, "--bundle", small_bundle, "--out", tmp_path / "o", "--mm-per-px", "nan"
    )


def test_a_database_of_a_newer_version_is_left_as_it_is(fails: Fail) -> None:
    store = load(StoreSettings)
    upgrade(store.database)
    with open_database(store.database) as database, database.session() as session:
        session.execute(text("UPDATE loomwatch_version SET version_num = 'from-the-future'"))
    before = (store.data_dir / "loomwatch.db").read_bytes()
    assert "newer" in fails("rolls", "list")
    assert "newer" in fails("db", "upgrade")
    assert (store.data_dir / "loomwatch.db").read_bytes() == before


def test_a_database_that_was_never_made_is_told_how_to_be_made(fails: Fail) -> None:
    assert "loomwatch db upgrade" in fails("rolls", "list")


@pytest.mark.parametrize("command", ["up", "dashboard"])
def test_a_port_in_use_is_named_with_the_setting_that_changes_it(fails: Fail, command: str) -> None:
    upgrade(load(StoreSettings).database)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = fails(command, "--port", port)
    assert str(port) in error
    assert "LOOMWATCH_DASHBOARD_PORT" in error


def test_an_endpoint_in_use_is_named(fails: Fail, tmp_path: Path) -> None:
    picture(tmp_path / "frames" / "a.png")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        error = fails(
            "ingest", "--camera", f"c={tmp_path / 'frames'}", "--endpoint", endpoint, "--spool-dir", tmp_path / "spool"
        )
    assert endpoint in error


def test_plain_tcp_beyond_this_machine_is_refused_with_both_ways_out(fails: Fail, tmp_path: Path) -> None:
    picture(tmp_path / "frames" / "a.png")
    camera = ("--camera", f"c={tmp_path / 'frames'}", "--spool-dir", tmp_path / "spool")
    for error in (
        fails("ingest", *camera, "--endpoint", "tcp://0.0.0.0:5701"),
        fails("worker", "--ingestors", "tcp://cams.plant:5701"),
    ):
        assert "loomwatch keys new" in error
        assert "ALLOW_PLAIN_TCP=true" in error


def test_keys_that_others_may_read_are_refused_by_both_ends(fails: Fail, tmp_path: Path) -> None:
    picture(tmp_path / "frames" / "a.png")
    keys = tmp_path / "keys"
    for name, role in (("ingest", "ingest"), ("worker", "worker")):
        secret, _ = new_key(keys, name, role)
        secret.chmod(0o644)
    camera = ("--camera", f"c={tmp_path / 'frames'}", "--spool-dir", tmp_path / "spool")
    for error in (
        fails("ingest", *camera, "--endpoint", "tcp://127.0.0.1:0", "--keys-dir", keys),
        fails("worker", "--ingestors", "tcp://127.0.0.1:1", "--keys-dir", keys),
    ):
        assert "chmod 600" in error


def test_a_wrong_camera_is_refused_at_start(fails: Fail, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path / 'i.ipc'}"
    spool = tmp_path / "spool"
    assert "away" in fails("ingest", "--camera", f"c={tmp_path / 'away'}", "--endpoint", endpoint, "--spool-dir", spool)
    assert "velvet" in fails("ingest", "--camera", "c=sim://velvet", "--endpoint", endpoint, "--spool-dir", spool)


def test_a_wrong_setting_is_named_with_its_value(fails: Fail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_LOG_LEVEL", "loud")
    error = fails("rolls", "list")
    assert "log_level" in error
    assert "loud" in error


def test_an_unknown_device_is_refused(fails: Fail, tmp_path: Path) -> None:
    normal(tmp_path / "data")
    assert "tpu" in fails("train", "--data", tmp_path / "data", "--out", tmp_path / "b", "--device", "tpu")


def test_what_evaluate_cannot_do_is_refused_before_anything_is_read(fails: Fail, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = ("evaluate", "--bundle", tmp_path / "none", "--data", tmp_path / "none")
    assert "multi, single, got 'double'" in fails(*arguments, "--setting", "double")
    assert "noise, light, rotation" in fails(*arguments, "--disturb", "jpeg", "--disturb", "earthquake")
    assert "[0, 5], got 9" in fails(*arguments, "--disturb", "jpeg", "--strength", "9")
    assert "is not a folder: name another one with --report" in fails(*arguments, "--report", tmp_path / "file")


def test_places_that_cannot_be_written_are_refused_before_the_work(
    fails: Fail, tmp_path: Path, small_bundle: Path
) -> None:
    data = normal(tmp_path / "data")
    picture(data / "plain" / "test" / "good" / "0.png")
    (tmp_path / "file").write_text("kept")
    below = tmp_path / "file" / "x.json"
    train = ("train", "--data", data, "--out", tmp_path / "b")
    assert f"--json: cannot write {below} (File exists): name another place" in fails(*train, "--json", below)
    assert "--json: cannot write" in fails(*train, "--json", data)
    evaluate = ("evaluate", "--bundle", small_bundle, "--data", data)
    assert "--json: cannot write" in fails(*evaluate, "--json", below)
    assert f"--report: cannot write {below}" in fails(*evaluate, "--report", below)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file"]
    assert (tmp_path / "file").read_text() == "kept"
    fails(*train, "--epochs", 1, "--json", tmp_path / "figures.json", "--weights", tmp_path / "none.pth")
    assert not (tmp_path / "figures.json").exists(), "one that can be is not left empty by a training that fails"


def test_a_missing_backbone_file_names_both_ways(fails: Fail, tmp_path: Path) -> None:
    normal(tmp_path / "data")
    missing = tmp_path / "wide.pth"
    arguments = ("train", "--data", tmp_path / "data", "--out", tmp_path / "b", "--backbone", "wide_resnet50_2")
    assert "wide.pth" in fails(*arguments, "--weights", missing)


def unreadable_float(path: Path) -> Path:
    """A floating point TIFF with a pixel that is not a number."""
    pixels = np.full((300, 300), 100.0, np.float32)
    pixels[7, 7] = np.nan
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_pixels_that_are_not_numbers_are_refused_by_every_command(
    fails: Fail, tmp_path: Path, small_bundle: Path
) -> None:
    data = normal(tmp_path / "data")
    unreadable_float(data / "plain" / "train" / "good" / "x.tiff")
    error = fails("train", "--data", data, "--out", tmp_path / "b", "--tile", 64)
    assert "x.tiff" in error
    assert "floating point" in error
    unreadable_float(data / "plain" / "test" / "good" / "y.tiff")
    assert "y.tiff" in fails("evaluate", "--bundle", small_bundle, "--data", data)
    frame = unreadable_float(tmp_path / "z.tiff")
    assert "z.tiff" in fails("inspect", frame, "--bundle", small_bundle, "--out", tmp_path / "out")
    for number in range(20):
        picture(tmp_path / "frames" / "twill" / "good" / f"{number:02d}.png")
    unreadable_float(tmp_path / "frames" / "twill" / "good" / "v.tiff")
    new = ("styles", "add", small_bundle, "--data", tmp_path / "frames" / "twill", "--out", tmp_path / "more")
    assert "v.tiff" in fails(*new)
    assert "v.tiff" in fails("dataset", "cut", tmp_path / "frames", "--out", tmp_path / "tiles", "--tile", 64)
    assert not {"b", "more", "tiles"} & {path.name for path in tmp_path.iterdir()}


def test_a_class_of_one_picture_is_named(fails: Fail, tmp_path: Path) -> None:
    normal(tmp_path / "data", count=1)
    assert "plain has a single tile" in fails("train", "--data", tmp_path / "data", "--out", tmp_path / "b")


def test_constant_pictures_and_batches_of_one_are_learned_and_a_constant_frame_is_no_fabric(
    fails: Fail, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = normal(tmp_path / "data", count=3)
    for number in range(3):
        path = data / "flat" / "train" / "good" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((64, 64), 90, np.uint8))
    out, figures = tmp_path / "b", tmp_path / "b.json"
    arguments = ["--epochs", 1, "--tile", 64, "--batch-size", 1, "--json", figures]
    assert run([str(each) for each in ("train", "--data", data, "--out", out, *arguments)]) == 0
    found = json.loads(figures.read_text())
    assert np.isfinite(found["losses"]).all()
    assert all(np.isfinite(each["threshold"]) for each in found["styles"].values())
    told = capfd.readouterr().out
    for name, facts in found["styles"].items():  # how far a threshold may be believed
        how = facts["threshold_set"]
        assert how["value"] == facts["threshold"]
        assert how["extrapolated"]
        line = next(line for line in told.splitlines() if line.startswith(f"{name}: "))
        assert f"95 % {how['low_per_100m']:.3g} to {how['high_per_100m']:.3g} per 100 m" in line
        assert f"a tail extrapolation: {how['more_metres_needed']:.3g} m more" in line
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((300, 300), 90, np.uint8))
    assert "no fabric" in fails("inspect", blank, "--bundle", out, "--out", tmp_path / "o", "--style", "flat")


def test_a_weights_file_that_does_not_fit_is_named(fails: Fail, tmp_path: Path, small_bundle: Path) -> None:
    data = normal(tmp_path / "data")
    other = weights_file("efficientnet_lite1")
    text_file = tmp_path / "text.pth"
    text_file.write_text("not weights")
    damaged = tmp_path / other.name
    damaged.write_bytes(other.read_bytes()[:-1000])
    train = ("train", "--data", data, "--out", tmp_path / "b")
    assert other.name in fails(*train, "--weights", other)
    assert "timm:resnet18" in fails(*train, "--backbone", "timm:resnet18", "--weights", other)
    assert "text.pth" in fails(*train, "--weights", text_file)
    assert "sha256" in fails(*train, "--backbone", "efficientnet_lite1", "--weights", damaged)
    frame = picture(tmp_path / "f.png")
    for each in (other, text_file):
        use = ("--bundle", small_bundle, "--weights", each)
        assert each.name in fails("inspect", frame, *use, "--out", tmp_path / "o")
        assert each.name in fails("evaluate", *use, "--data", data)
    assert not (tmp_path / "b").exists()


def test_levels_and_backbones_that_there_are_not_are_named(fails: Fail, tmp_path: Path) -> None:
    normal(tmp_path / "data")
    train = ("train", "--data", tmp_path / "data", "--out", tmp_path / "b")
    assert "two" in fails(*train, "--levels", "two")
    assert "ascending" in fails(*train, "--levels", "3,2")
    assert "1, 2, 3, 4" in fails(*train, "--levels", "9")
    assert "timm:resnet18" in fails(*train, "--backbone", "timm:resnet1888")
    assert "transformer" in fails(*train, "--backbone", "timm:vit_tiny_patch16_224")
    assert "no level 1" in fails(*train, "--backbone", "timm:csatv2", "--levels", "1,2")


def test_recipes_ablations_and_settings_that_there_are_not_are_named_and_nothing_is_left(
    fails: Fail, tmp_path: Path
) -> None:
    data = normal(tmp_path / "data")
    train = ("train", "--data", data, "--out", tmp_path / "b")
    assert "loomwatch, paper, got 'novel'" in fails(*train, "--recipe", "novel")
    assert "A, B, C, D, E" in fails(*train, "--ablation", "F")
    assert "neighbourhood must be odd, got 4" in fails(*train, "--neighbourhood", 4)
    large = fails(*train, "--tile", 64, "--neighbourhood", 101)
    assert "neighbourhood must be at most 8 where a tile has 8 x 8 vectors, got 101" in large
    assert "noise_deviation must be greater than 0" in fails(*train, "-s", 0)
    assert "noise_deviation must be a finite number, got inf" in fails(*train, "-s", "inf")
    assert "noise_scaling must be a finite number, got inf" in fails(*train, "-k", "inf")
    assert "seed must be at most" in fails(*train, "--seed", 10**30)
    assert "--memory-gb" in fails(*train, "--memory-gb", "inf")
    assert "kmeans, coreset, position, sample, got 'mean'" in fails(*train, "--centers", "mean")
    assert "discriminant, cosine, got 'style'" in fails(*train, "--routing", "style")
    assert "crossfit, holdout, got 'none'" in fails(*train, "--calibration", "none")
    assert "false_alarms_per_100m must be greater than 0" in fails(*train, "--false-alarms", 0)
    assert "auto, float32 or bfloat16, got 'half'" in fails(*train, "--precision", "half")
    (data / "plain" / "train" / "good" / "x.png").write_text("not a picture")
    assert "x.png" in fails(*train)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_train_and_everything_else_have_one_default(capfd: pytest.CaptureFixture[str]) -> None:
    assert _config("loomwatch", None, {}) == CrasConfig()
    assert run(["train", "--help"]) == 0
    told = " ".join(capfd.readouterr().out.replace("│", " ").split())
    assert "s of eq. 4: 0.5 (paper: 0.015)" in told
    assert "k of eq. 5: 0.3." in told
    assert "memory-mapped from a file in OUT.training" in told


@pytest.mark.parametrize(
    "options",
    [["--ablation", "D", "--routing", "discriminant"], ["--recipe", "paper", "--backbone", "efficientnet_lite0"]],
)
def test_recipe_ablation_and_settings_are_what_the_bundle_says(
    tmp_path: Path, options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    small = ["--tile", "32", "--levels", "3,4", "--neighbourhood", "1", "-k", "0.4", "-s", "0.2", "--epochs", "1"]
    small += ["--centers", "coreset", "--centers-per-style", "3", "--calibration", "holdout", "--false-alarms", "50"]
    out = tmp_path / "b"
    train = ["train", "--data", str(normal(tmp_path / "data", count=2)), "--out", str(out)]
    assert run([*train, *small, *options, "--memory-gb", "0"]) == 0
    assert "not known" in capfd.readouterr().out, "a threshold from a single tile has no interval"
    config = json.loads((out / "manifest.json").read_text())["config"]
    assert (config["tile_px"], config["levels"], config["neighbourhood"]) == (32, [3, 4], 1)
    assert (config["noise_scaling"], config["noise_deviation"]) == (0.4, 0.2)
    assert (config["centers"], config["centers_per_style"]) == ("coreset", 3)
    assert (config["calibration"], config["false_alarms_per_100m"]) == ("holdout", 50)
    paper = "paper" in options
    assert config["noise_guide"] == ("ratio" if paper else "none")
    assert (config["routing"] == "cosine", config["resize_px"], config["batch_size"] == 32) == (
        paper,
        37 * paper,
        paper,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("trends --days 0", "--days"),
        ("trends --bogus", "--bogus"),
        ("demo --seconds -1", "--seconds"),
        ("db prune --days x", "--days"),
        ("bench storage --scale 0", "--scale"),
        ("bench scorer --runtime magic", "magic"),
        ("train", "--data"),
        ("report roll", "argument"),
        ("weave", "weave"),
    ],
)
def test_arguments_that_cannot_be_taken_are_named(fails: Fail, arguments: str, named: str) -> None:
    assert named in fails(*arguments.split())


def test_a_group_without_a_command_shows_its_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["db"]) == 2
    assert "prune" in "".join(capfd.readouterr())


def test_a_full_disk_is_one_line_and_leaves_what_was_stored(tmp_path: Path) -> None:
    """A file size limit makes the system refuse to write, as a full disk does."""
    store = load(StoreSettings)
    upgrade(store.database)
    normal(tmp_path / "data", count=1)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384))

    done = subprocess.run(
        [sys.executable, "-m", "loomwatch", "samples", "add", str(tmp_path / "data")],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("loomwatch: ")
    assert "Traceback" not in done.stderr
    with open_database(store.database) as database, database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM samples")).scalar() == 0


def test_help_of_every_command_has_an_example(capfd: pytest.CaptureFixture[str]) -> None:
    commands = ["demo", "up", "doctor", "train", "evaluate", "inspect", "ingest", "worker", "trainer", "dashboard"]
    groups = {
        "rolls": ["open", "close", "list"],
        "models": ["list", "import", "gate", "promote", "rollback", "policy", "add-style"],
        "samples": ["add", "list"],
        "db": ["upgrade", "status"],
        "bench": ["scorer", "pipeline"],
        "dataset": ["cut", "check"],
    }
    for words in [[each] for each in commands] + [[group, each] for group, own in groups.items() for each in own]:
        capfd.readouterr()
        assert run([*words, "--help"]) == 0
        assert f"$ loomwatch {' '.join(words)}" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (b"", "standard input: Invalid JSON"),
        (b"no json", "standard input: Invalid JSON"),
        (b'{"name": 3, "source": "rtsp://staff:secret@10.0.0.9/"}', "name: Input should be a valid string"),
        (b'{"name": "left", "source": "rtsp://staff:secret@10.0.0.9/", "width": 3}', "width: "),
    ],
)
def test_a_camera_from_standard_input_is_refused_without_quoting_its_address(fails, monkeypatch, given, named):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    words = fails("look", "-")
    assert named in words
    assert "secret" not in words
