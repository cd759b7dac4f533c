import posixpath
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection.errors import StorageError
from storage.pictures import PictureStore, picture_key


def test_a_picture_comes_back_and_goes(pictures):
    pictures.put("a/b/c.png", b"picture")
    assert pictures.exists("a/b/c.png")
    assert pictures.get("a/b/c.png") == b"picture"
    assert pictures.head("a/b/c.png", 3) == b"pic"
    pictures.put("a/b/c.png", b"another")
    assert pictures.get("a/b/c.png") == b"another"
    pictures.delete("a/b/c.png")
    pictures.delete("a/b/c.png")
    assert not pictures.exists("a/b/c.png")
    with pytest.raises(StorageError, match=r"no picture a/b/c\.png"):
        pictures.get("a/b/c.png")


def test_any_fsspec_url_will_do():
    store = PictureStore("memory://pictures")
    store.put("a/1.png", b"one")
    assert store.get("a/1.png") == b"one"


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../out.png", "a/../../out.png", "a//b.png", "a/./b.png", "a\\b", "a\0"]
)
def test_a_key_cannot_leave_the_store(pictures, key):
    with pytest.raises(StorageError, match="not a key"):
        pictures.put(key, b"")


@given(st.lists(st.text(max_size=300), min_size=1, max_size=4))
def test_names_of_any_kind_make_keys_that_stay_in_the_store(parts):
    key = picture_key(*parts)
    assert posixpath.normpath(key) == key
    assert not key.startswith(("/", ".."))
    assert len(key.split("/")) == len(parts)
    assert max(len(part) for part in key.encode().split(b"/")) <= 255


names = st.lists(st.one_of(st.text(max_size=8), st.text("ab", min_size=100, max_size=140)), min_size=2, max_size=2)


@given(names, names)
def test_two_names_never_make_one_key(first, second):
    assert (picture_key(*first) == picture_key(*second)) == (first == second)


def test_a_reader_never_sees_half_a_picture(pictures):
    whole = {bytes([value]) * 300_000 for value in range(2)}
    pictures.put("a.png", next(iter(whole)))
    stop = threading.Event()

    def write():
        while not stop.is_set():
            for data in whole:
                pictures.put("a.png", data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(pictures.get("a.png") in whole for _ in range(100))
    finally:
        stop.set()
        writer.join()


def test_a_store_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"picture store .*file.*: a\.png: ") as caught:
        PictureStore(str(tmp_path / "file")).put("a.png", b"")
    assert "\n" not in str(caught.value)


def test_a_store_without_a_driver_says_so():
    with pytest.raises(StorageError, match="nonsense://"):
        PictureStore("nonsense://bucket")
