from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.framefile import read_frame, read_parts, write_frame
from inspection.errors import WireError
from tests.transport import frame, same


def test_a_frame_is_read_back_as_it_was(tmp_path: Path) -> None:
    for channels in (1, 3):
        write_frame(tmp_path / "folder" / "0.frame", frame(5, channels=channels))
        assert same(read_frame(tmp_path / "folder" / "0.frame"), frame(5, channels=channels))
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["0.frame"]


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, place: float, bit: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "0.frame"
    write_frame(path, frame(0))
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(WireError, match=r"0\.frame"):
        read_parts(path)


@given(length=st.integers(0, 6400))
def test_every_torn_file_is_found(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "0.frame"
    write_frame(path, frame(0))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WireError, match=r"0\.frame"):
        read_parts(path)


def test_a_file_beyond_all_bounds_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "0.frame"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(WireError, match="has 1099511627776"):
        read_parts(path)


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"")
    with pytest.raises(OSError, match="folder"):
        write_frame(tmp_path / "folder" / "0.frame", frame(0))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
