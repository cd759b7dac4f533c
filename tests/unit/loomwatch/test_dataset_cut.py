"""Annotated frames to tiles: fabric only, whole frames on one side, every tile exactly a piece of its frame."""

import json
import math
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cras_core.dataset import group_of, groups_of, read_layout
from ingest.edges import find_edges
from ingest.simulator import normal_frames
from inspection.errors import ImageError, SettingsError
from loomwatch.annotated import find_annotated
from loomwatch.cli import run
from loomwatch.dataset_cut import CutSettings, cut_data_set, tile_name

TILE = 64
SMALL = CutSettings(tile_px=TILE)


@cache
def strips() -> tuple[np.ndarray, ...]:
    """Six frames of simulated cloth with background on both sides, 64 lines each, grey."""
    frames = normal_frames("twill", seed=1, length_m=6 * 0.0128, frame_lines=TILE)
    return tuple(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame for frame in frames)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def mark(boxes: list[tuple[int, int]], frame: np.ndarray) -> np.ndarray:
    """A mask of 10 lines from each box's first to its last column."""
    mask = np.zeros(frame.shape, np.uint8)
    for first, last in boxes:
        mask[20:30, first:last] = 255
    return mask


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """STYLE/good x 4, STYLE/defect x 2 (one as RGBA, one with two masks) and STYLE/mask."""
    folder = tmp_path / "frames"
    for number in range(4):
        save(folder / "twill/good" / f"g{number}_000.png", strips()[number])
    one, two = strips()[4:6]
    left = find_edges(one)[0]
    save(folder / "twill/defect/d0_019.png", np.dstack([one, one, one, np.full_like(one, 255)]))
    save(folder / "twill/mask/d0_019_mask.png", mark([(left + 70, left + 75)], one))
    left = find_edges(two)[0]
    save(folder / "twill/defect/d1_019.png", two)
    save(folder / "twill/mask/d1_019_mask1.png", mark([(left + 10, left + 20)], two))
    save(folder / "twill/mask/d1_019_mask2.png", mark([(left + 60, left + 68)], two))
    return folder


def tiles_across(frame: np.ndarray, *, overlap: int = 0) -> int:
    left, right = find_edges(frame)
    return math.ceil((right - left - TILE) / (TILE - overlap)) + 1


def test_every_tile_is_a_piece_of_its_frame_and_every_mask_of_its_masks(annotated: Path, tmp_path: Path) -> None:
    cut_data_set(annotated, tmp_path / "out", SMALL)
    seen = 0
    for path in (tmp_path / "out").glob("twill/t*/*/*.png"):
        stem, column = path.stem.rsplit("_", 1)
        frame = np.asarray(Image.open(next(annotated.glob(f"twill/[gd]*/{stem}.png"))).convert("L"))
        left, right = find_edges(frame)
        x = int(column)
        assert left <= x <= right - TILE
        np.testing.assert_array_equal(np.asarray(Image.open(path)), frame[:, x : x + TILE])
        if path.parent.name == "defect":
            joined = sum(np.asarray(Image.open(each)).astype(int) for each in annotated.glob(f"twill/mask/{stem}_*"))
            truth = np.asarray(Image.open(tmp_path / f"out/twill/ground_truth/defect/{path.stem}_mask.png"))
            np.testing.assert_array_equal(truth, np.minimum(joined, 255)[:, x : x + TILE])
            assert truth.any()
        seen += 1
    assert seen > 20


def test_tiles_are_counted_and_the_data_set_can_be_read(annotated: Path, tmp_path: Path) -> None:
    found = cut_data_set(annotated, tmp_path / "out", SMALL)["twill"]
    good = [tiles_across(frame) for frame in strips()[:4]]
    assert (found.frames_train, found.frames_test, found.frames_defect) == (3, 1, 2)
    assert found.train_good + found.test_good == sum(good)
    # columns 70 to 75 are in the second tile; 10 to 20 in the first, 60 to 68 in the first and the second
    assert found.test_defects == {"defect": 3}
    assert found.left_clean == sum(map(tiles_across, strips()[4:6])) - 3
    assert (found.left_small, found.frames_missed, found.mask_px_outside) == (0, (), 0)
    layout = read_layout(tmp_path / "out", need_test=True)
    assert len(layout.classes["twill"].train_good) == found.train_good
    assert sum(each.mask is not None for each in layout.classes["twill"].test) == 3
    written = json.loads((tmp_path / "out/cut.json").read_text())
    assert written["styles"]["twill"]["train_good"] == found.train_good
    assert written["settings"]["tile_px"] == TILE
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_frames_stay_whole_and_their_tiles_are_one_group(annotated: Path, tmp_path: Path) -> None:
    cut_data_set(annotated, tmp_path / "out", SMALL)
    sides = [sorted((tmp_path / "out/twill" / side / "good").iterdir()) for side in ("train", "test")]
    train, test = [set(groups_of(paths)) for paths in sides]
    assert (len(train), len(test), train & test) == (3, 1, set())
    assert group_of(sides[1][0]) == sides[1][0].stem.rsplit("_", 1)[0]


def test_one_seed_gives_one_split_and_another_another(annotated: Path, tmp_path: Path) -> None:
    def learned(name: str, **options: float) -> set[str]:
        cut_data_set(annotated, tmp_path / name, CutSettings(tile_px=TILE, **options))
        return {path.stem[:2] for path in (tmp_path / name / "twill/train/good").iterdir()}

    assert learned("a") == learned("b")
    assert len({frozenset(learned(f"s{seed}", seed=seed, train_share=0.25)) for seed in range(6)}) > 1
    assert len(learned("few", train_share=0.01)) == 1
    assert len(learned("most", train_share=0.99)) == 3
    assert len(learned("all", train_share=1)) == 4


def test_tiles_with_few_mask_pixels_are_left_out_and_counted(annotated: Path, tmp_path: Path) -> None:
    # 50 px in d0's tile; 100 + 40 in d1's first, 40 in its second
    found = cut_data_set(annotated, tmp_path / "out", CutSettings(tile_px=TILE, min_defect_px=51))["twill"]
    assert (found.test_defects, found.left_small) == ({"defect": 1}, 2)
    assert found.frames_missed == ("d0_019.png",)


def test_clean_tiles_of_defect_frames_are_kept_when_asked_for(annotated: Path, tmp_path: Path) -> None:
    usual = cut_data_set(annotated, tmp_path / "a", SMALL)["twill"]
    kept = cut_data_set(annotated, tmp_path / "b", CutSettings(tile_px=TILE, keep_clean=True))["twill"]
    assert kept.test_good == usual.test_good + usual.left_clean
    assert (kept.left_clean, kept.train_good) == (0, usual.train_good)


def test_overlap_gives_more_tiles(annotated: Path, tmp_path: Path) -> None:
    found = cut_data_set(annotated, tmp_path / "out", CutSettings(tile_px=TILE, overlap_px=32))["twill"]
    assert found.train_good + found.test_good == sum(tiles_across(frame, overlap=32) for frame in strips()[:4])


def test_a_mask_beside_the_fabric_is_counted(annotated: Path, tmp_path: Path) -> None:
    frame = strips()[4]
    save(annotated / "twill/mask/d0_019_mask.png", mark([(0, 3)], frame))
    found = cut_data_set(annotated, tmp_path / "out", SMALL)["twill"]
    assert (found.mask_px_outside, found.frames_missed) == (30, ("d0_019.png",))


def test_masks_may_lie_flat_by_style_or_in_one_styles_own_folder(annotated: Path, tmp_path: Path) -> None:
    inside = find_annotated(annotated)["twill"]
    assert [len(frame.masks) for frame in inside] == [1, 2, 0, 0, 0, 0]
    (annotated / "twill/mask").rename(tmp_path / "flat")
    (tmp_path / "by_style").mkdir()
    assert [len(f.masks) for f in find_annotated(annotated, masks=tmp_path / "flat")["twill"]] == [1, 2, 0, 0, 0, 0]
    (tmp_path / "flat").rename(tmp_path / "by_style/twill")
    assert [len(f.masks) for f in find_annotated(annotated, masks=tmp_path / "by_style")["twill"]] == [1, 2, 0, 0, 0, 0]
    single = find_annotated(annotated / "twill", masks=tmp_path / "by_style/twill")
    assert [len(frame.masks) for frame in single["twill"]] == [1, 2, 0, 0, 0, 0]


def test_another_styles_mask_of_the_same_name_is_not_taken(annotated: Path) -> None:
    for path in list(annotated.glob("twill/*/*")):
        if path.stem.startswith(("d0", "g0")):
            other = annotated / "plain" / path.parent.name / path.name
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_bytes(path.read_bytes())
    (mask,) = find_annotated(annotated)["plain"][0].masks
    assert mask == annotated / "plain/mask/d0_019_mask.png"


@given(st.integers(0, 40_000), st.integers(0, 40_000), st.integers(1, 40_000), st.integers(1, 40_000))
@settings(max_examples=50)
def test_names_of_a_frames_tiles_differ_in_one_last_number_only(row: int, column: int, down: int, right: int) -> None:
    size = (row + down, column + right)
    names = [tile_name("roll_7", *place, size=size, rows=True) for place in ((row, column), (0, column), (row, 0))]
    assert len(set(names)) == len({(row, column), (0, column), (row, 0)})
    assert {name.rsplit("_", 1)[0] for name in names} == {"roll_7"}
    assert all(name.rsplit("_", 1)[1].isdigit() for name in names)


def test_a_tall_frame_gives_rows_of_tiles_in_one_group(tmp_path: Path) -> None:
    (frame,) = normal_frames("twill", seed=2, length_m=0.0256, frame_lines=2 * TILE)
    for name in "ab":
        save(tmp_path / f"frames/twill/good/{name}.png", frame)
    found = cut_data_set(tmp_path / "frames", tmp_path / "out", SMALL)["twill"]
    paths = list((tmp_path / "out/twill/train/good").iterdir())
    assert len(paths) == found.train_good == 2 * tiles_across(frame)
    assert len(set(groups_of(paths))) == 1


def refused(annotated: Path, tmp_path: Path, kind: type[Exception], words: str, **options: float) -> None:
    with pytest.raises(kind, match=words):
        cut_data_set(annotated, tmp_path / "out", CutSettings(**({"tile_px": TILE} | options)))
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_what_does_not_fit_together_is_refused_and_leaves_nothing_behind(annotated: Path, tmp_path: Path) -> None:
    mask = annotated / "twill/mask/d0_019_mask.png"
    right = Image.open(mask).copy()
    refused(annotated, tmp_path, ImageError, "smaller than a tile of 128 px", tile_px=128)
    refused(annotated, tmp_path, SettingsError, r"overlap must be in \[0, 64\), got 64", overlap_px=64)
    save(mask, np.ones((TILE, 30), np.uint8))
    refused(annotated, tmp_path, ImageError, r"d0_019_mask.png is 30 x 64 px, its frame .*d0_019.png")
    save(mask, np.zeros(strips()[4].shape, np.uint8))
    refused(annotated, tmp_path, ImageError, r"d0_019_mask.png marks nothing")
    mask.unlink()
    refused(annotated, tmp_path, SettingsError, r"d0_019.png has no mask in .*expected d0_019_mask.png")
    right.save(mask)
    right.save(mask.with_name("g1_000_mask.png"))
    refused(annotated, tmp_path, ImageError, r"g1_000.png is among the good frames, but .*g1_000_mask.png marks")
    mask.with_name("g1_000_mask.png").unlink()
    save(annotated / "twill/good/flat.png", np.full((TILE, 400), 90, np.uint8))
    refused(annotated, tmp_path, ImageError, r"flat.png: no fabric found")
    (annotated / "twill/good/flat.png").unlink()
    save(annotated / "twill/good/d0_019.png", strips()[0])
    refused(annotated, tmp_path, SettingsError, "twill has 2 frames of the name d0_019")
    for path in (annotated / "twill/good").iterdir():
        path.unlink()
    refused(annotated, tmp_path, SettingsError, "style twill has no good frames")


@pytest.mark.parametrize(("option", "value"), [("train_share", 0.0), ("train_share", 1.5), ("min_defect_px", 0)])
def test_impossible_settings_are_refused(option: str, value: float) -> None:
    with pytest.raises(SettingsError, match="got"):
        CutSettings(**{option: value})


def test_the_command_writes_a_new_folder_only_and_says_what_it_left_out(
    annotated: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "tiles", tmp_path / "cut.json"
    arguments = ["dataset", "cut", str(annotated), "--masks", str(annotated / "twill/mask"), "--out", str(out)]
    assert run([*arguments, "--tile", str(TILE), "--json", str(figures)]) == 0
    told = capfd.readouterr().out
    assert "clean" in told
    assert "3 good frames to train on, 1 to test, 2 defect" in told
    assert json.loads(figures.read_text())["twill"]["test_defects"] == {"defect": 3}
    assert run(["dataset", "check", str(out)]) == 0
    assert run([*arguments, "--tile", str(TILE)]) == 2
    assert "is there already" in capfd.readouterr().err
    assert run(["dataset", "cut", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 2
    assert "is not a folder" in capfd.readouterr().err
