"""Folders as cameras: order, position, damaged files, and folders that grow."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ingest import folder as folder_module
from ingest.folder import FolderSource, _natural
from ingest.shots import Shot
from inspection.errors import SourceError

RNG = np.random.default_rng(3)


def picture(path, *, height=20, width=30, level=None):
    pixels = RNG.integers(0, 256, (height, width), dtype=np.uint8)
    if level is not None:
        pixels[:] = level
    Image.fromarray(pixels).save(path)
    return pixels


def damage(path):
    path.write_bytes(path.read_bytes()[:-40])


def wait_until(condition: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


class Reader:
    """Reads a followed folder in a thread of its own."""

    def __init__(self, source: FolderSource) -> None:
        self.source = source
        self.shots: list[Shot] = []
        self.thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        for shot in self.source.shots():
            self.shots.append(shot)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.source.close()
        self.thread.join(10)
        assert not self.thread.is_alive()


def test_files_come_in_natural_order_and_other_files_are_ignored(tmp_path):
    for name in ("f10.png", "f2.png", "f1.png", "F3.PNG", "notes.txt", ".hidden.png", "f1.png.part"):
        if name.lower().endswith(".png"):
            with (tmp_path / name).open("wb") as file:
                Image.new("L", (30, 20)).save(file, "PNG")
        else:
            (tmp_path / name).write_text("x")
    (tmp_path / "sub").mkdir()
    shots = FolderSource(tmp_path, mm_per_px=0.2, frame_lines=100).shots()
    assert [shot.origin for shot in shots] == ["f1.png", "f2.png", "F3.PNG", "f10.png"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1), min_size=2))
def test_natural_order_is_an_order_for_any_names(names):
    paths = [Path("/x") / f"p{name}.png" for name in names]
    backwards = list(reversed(paths))
    assert sorted(paths, key=_natural) == sorted(backwards, key=_natural)


def test_positions_follow_one_another_whatever_the_heights(tmp_path):
    heights = (20, 57, 33)
    expected = [picture(tmp_path / f"{number}.png", height=height) for number, height in enumerate(heights)]
    before_ns = time.time_ns()
    shots = list(FolderSource(tmp_path, mm_per_px=0.5, frame_lines=100).shots())
    for shot, pixels in zip(shots, expected, strict=True):
        np.testing.assert_array_equal(shot.pixels, pixels)
        assert before_ns <= shot.captured_at_ns <= time.time_ns()
    assert [shot.position_mm for shot in shots] == [0.0, 10.0, 38.5]
    assert [shot.length_mm for shot in shots] == [10.0, 28.5, 16.5]


def test_a_damaged_file_is_a_problem_shot_with_its_length_and_the_next_file_still_comes(tmp_path):
    for number in range(5):
        picture(tmp_path / f"{number}.png", height=40)
    damage(tmp_path / "1.png")
    Image.fromarray(np.zeros((77, 30), np.uint16)).save(tmp_path / "2.png")
    (tmp_path / "3.png").write_bytes(b"")
    shots = list(FolderSource(tmp_path, mm_per_px=1.0, frame_lines=100).shots())
    assert [shot.pixels is None for shot in shots] == [False, True, True, True, False]
    assert [shot.length_mm for shot in shots] == [40, 40, 77, 77, 40]  # the empty file: as the frame before
    assert [shot.position_mm for shot in shots] == [0, 40, 80, 157, 234]
    assert shots[1].problem.startswith("unreadable: 1.png: truncated")
    assert shots[2].problem.startswith("unreadable: 2.png: has 16-bit pixels")
    assert shots[3].problem.startswith("unreadable: 3.png: the file is empty")
    assert shots[4].problem == ""


def test_a_first_file_that_tells_nothing_counts_as_one_frame(tmp_path):
    (tmp_path / "0.png").write_bytes(b"rubbish")
    (shot,) = FolderSource(tmp_path, mm_per_px=0.5, frame_lines=100).shots()
    assert shot.length_mm == 50.0


def test_a_folder_that_disappears_ends_in_a_source_error(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    picture(gone / "0.png")
    source = FolderSource(gone, mm_per_px=0.5, frame_lines=100)
    (gone / "0.png").unlink()
    gone.rmdir()
    with pytest.raises(SourceError, match="cannot list"):
        list(source.shots())


def test_following_takes_new_files_once_they_are_complete(tmp_path):
    Image.new("L", (30, 20)).save(tmp_path / "template", "PNG")
    whole = (tmp_path / "template").read_bytes()
    with Reader(FolderSource(tmp_path, mm_per_px=0.5, frame_lines=100, follow=True)) as reader:
        (tmp_path / "1.png").write_bytes(whole)
        wait_until(lambda: len(reader.shots) == 1)
        (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])  # a slow writer
        wait_until(lambda: reader.source._rested_s(tmp_path / "2.png") > 3 * folder_module.POLL_S)
        assert len(reader.shots) == 1
        (tmp_path / "2.png").write_bytes(whole)
        wait_until(lambda: len(reader.shots) == 2)
        (tmp_path / "3.part").write_bytes(whole)
        (tmp_path / "3.part").rename(tmp_path / "3.png")
        wait_until(lambda: len(reader.shots) == 3)
    assert [shot.origin for shot in reader.shots] == ["1.png", "2.png", "3.png"]
    assert [shot.problem for shot in reader.shots] == ["", "", ""]
    assert [shot.position_mm for shot in reader.shots] == [0.0, 10.0, 20.0]


def test_following_gives_up_on_a_file_that_never_becomes_readable(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "PATIENCE_S", 0.3)
    with Reader(FolderSource(tmp_path, mm_per_px=0.5, frame_lines=100, follow=True)) as reader:
        picture(tmp_path / "1.png")
        damage(tmp_path / "1.png")
        picture(tmp_path / "2.png")
        wait_until(lambda: len(reader.shots) == 2)
    assert reader.shots[0].problem.startswith("unreadable: 1.png")
    assert reader.shots[1].problem == ""


def test_following_survives_that_the_folder_is_gone_for_a_while(tmp_path, caplog):
    share = tmp_path / "share"
    share.mkdir()
    with Reader(FolderSource(share, mm_per_px=0.5, frame_lines=100, follow=True)) as reader:
        picture(share / "1.png")
        wait_until(lambda: len(reader.shots) == 1)
        share.rename(tmp_path / "away")
        wait_until(lambda: "waiting for it" in caplog.text)
        (tmp_path / "away").rename(share)
        picture(share / "2.png")
        wait_until(lambda: len(reader.shots) == 2)
    assert [shot.origin for shot in reader.shots] == ["1.png", "2.png"]


def test_closing_ends_a_source_that_waits_for_files(tmp_path):
    with Reader(FolderSource(tmp_path, mm_per_px=0.5, frame_lines=100, follow=True)) as reader:
        wait_until(reader.thread.is_alive)
    assert reader.shots == []


def test_closing_ends_a_source_between_two_files(tmp_path):
    for number in range(3):
        picture(tmp_path / f"{number}.png")
    source = FolderSource(tmp_path, mm_per_px=0.5, frame_lines=100)
    shots = source.shots()
    next(shots)
    source.close()
    assert list(shots) == []
