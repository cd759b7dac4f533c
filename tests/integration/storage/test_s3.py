"""Pictures in S3, against moto's server: the store's promises, frames with crops, retention."""

import importlib.util
import uuid

import pytest

from inspection.errors import StorageError
from storage.frames import store_reports
from storage.pictures import PictureStore
from storage.retention import free_space, prune
from storage.rolls import close_roll, open_roll
from tests.conftest import IN_CI
from tests.records import LINE, at, make_defect, make_report

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def s3_server():
    missing = [name for name in ("moto", "s3fs") if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"{' and '.join(missing)} not installed: the extra s3, and moto as S3's server"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """A bucket of its own; address and keys as AWS gives them."""
    import s3fs

    for name, value in (
        ("AWS_ENDPOINT_URL", s3_server),
        ("AWS_ACCESS_KEY_ID", "loom"),
        ("AWS_SECRET_ACCESS_KEY", "loom"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"mill-{uuid.uuid4().hex[:8]}"
    s3fs.S3FileSystem().mkdir(bucket)
    yield PictureStore(f"s3://{bucket}/pictures")
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_picture_comes_back_and_goes(s3):
    assert s3.put_all({"a/1.png": b"one", "a/2.png": b"two", "b/3.png": b"three"}) == {}
    s3.put("a/1.png", b"again")
    assert [s3.get(key) for key in ("a/1.png", "a/2.png", "b/3.png")] == [b"again", b"two", b"three"]
    assert s3.head("b/3.png", 2) == b"th"
    assert s3.delete_all(["a/1.png", "a/2.png"]) == []
    assert [s3.exists(key) for key in ("a/1.png", "b/3.png")] == [False, True]
    s3.delete("a/1.png")  # gone already
    with pytest.raises(StorageError, match=r"has no picture a/1\.png"):
        s3.get("a/1.png")


def test_a_frames_pictures_go_with_its_roll(sqlite_database, s3):
    open_roll(sqlite_database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    defects = (make_defect(), make_defect(300))
    store_reports(sqlite_database, s3, [make_report(n, captured_at=at(n), defects=defects) for n in range(3)])
    close_roll(sqlite_database, line=LINE, by="eva", at=at(5))
    key = "defects/line-1/camera-1/session-1/000000/000000002-1_heat.png"
    assert s3.exists(key)
    assert [each.pictures for each in prune(sqlite_database, s3, by="eva", days=1, at=at(5000))] == [12]
    assert not s3.exists(key)
    assert free_space(sqlite_database, s3) > 0  # of the database's disk alone


def test_without_its_bucket_frames_are_kept_without_pictures(sqlite_database, s3):
    away = PictureStore("s3://no-such-bucket-of-the-mill/pictures")
    assert store_reports(sqlite_database, away, [make_report(defects=(make_defect(),))]) == [True]
    with pytest.raises(StorageError):
        away.get("a/1.png")
