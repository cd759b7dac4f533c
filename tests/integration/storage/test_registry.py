"""Models: registered whole or not at all, promoted, rolled back."""

import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from inspection.errors import StorageError
from storage.database import open_database
from storage.registry import import_bundle, list_models, promote, read_bundle, rollback, running_model
from storage.tables import AuditRow, PromotionRow
from tests.records import make_bundle

pytestmark = pytest.mark.integration


def register(database, tmp_path, name, **changes):
    bundle = make_bundle(tmp_path / f"bundle-{name}", name, **changes)
    return import_bundle(database, bundle, tmp_path / "models", source="imported", by="eva")


def flip(path: Path, position: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_bundle_is_copied_and_registered(database, tmp_path):
    model = register(database, tmp_path, "first")
    assert (model.name, model.source, model.by, model.running) == ("first", "imported", "eva", False)
    assert model.path == str(tmp_path / "models" / "first")
    assert model.manifest["styles"] == {"twill": {"threshold": 0.5}}
    shutil.rmtree(tmp_path / "bundle-first")
    assert read_bundle(Path(model.path))[0] == model.manifest
    assert list_models(database) == [model]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["first"]


def test_the_same_bundle_again_is_no_error_and_mends_a_damaged_copy(database, tmp_path):
    model = register(database, tmp_path, "first")
    flip(Path(model.path) / "weights.safetensors")
    again = import_bundle(database, tmp_path / "bundle-first", tmp_path / "models", source="imported", by="max")
    assert again == model
    read_bundle(Path(model.path))
    assert len(list_models(database)) == 1


def test_what_a_killed_copy_left_is_removed_once_it_is_old(database, tmp_path, monkeypatch):
    models = tmp_path / "models"
    left = [models / name for name in (".second.0a1b2c3d", ".second.0a1b2c3d.damaged")]
    for folder in left:
        make_bundle(folder)
    (models / ".snapshot").mkdir()
    register(database, tmp_path, "first")
    assert all(folder.is_dir() for folder in left), "it may be another's, at work now"
    monkeypatch.setattr("storage.registry.COPIED_S", -1.0)
    register(database, tmp_path, "second")
    assert sorted(path.name for path in models.iterdir()) == [".snapshot", "first", "second"]


def test_a_bundle_may_lie_in_the_folder_of_models_already(database, tmp_path):
    bundle = make_bundle(tmp_path / "models" / "first")
    assert import_bundle(database, bundle, tmp_path / "models", source="trained", by="eva").path == str(bundle)


def test_another_bundle_of_the_same_name_is_refused(database, tmp_path):
    model = register(database, tmp_path, "first")
    other = make_bundle(tmp_path / "other", "first", weights=b"other weights")
    with pytest.raises(StorageError, match="another model is called first"):
        import_bundle(database, other, tmp_path / "models", source="imported", by="eva")
    assert read_bundle(Path(model.path))[0] == model.manifest
    assert list_models(database) == [model]


@pytest.mark.parametrize("file", ["weights.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_bundle_is_not_registered_and_the_file_is_named(sqlite_database, tmp_path, file, damage):
    bundle = make_bundle(tmp_path / "bundle")
    path = bundle / file
    if damage == "flipped":
        flip(path, len(path.read_bytes()) // 2)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.unlink()
    with pytest.raises(StorageError, match=file):
        import_bundle(sqlite_database, bundle, tmp_path / "models", source="imported", by="eva")
    assert list_models(sqlite_database) == []
    assert not (tmp_path / "models").exists()


def test_every_flipped_byte_of_a_manifest_is_found(tmp_path):
    path = make_bundle(tmp_path / "bundle") / "manifest.json"
    for position in range(len(path.read_bytes())):
        flip(path, position)
        with pytest.raises(StorageError, match=r"manifest\.json"):
            read_bundle(path.parent)
        flip(path, position)
    read_bundle(path.parent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../escape"}, "name '../escape' is not made of letters"),
        ({"name": ""}, "name '' is not made of letters"),
        ({"files": {"../../etc/passwd": ""}}, "no file of a bundle"),
        ({"files": {}}, "lacks its files"),
    ],
)
def test_a_manifest_cannot_reach_outside_its_folder(tmp_path, changes, message):
    with pytest.raises(StorageError, match=message):
        read_bundle(make_bundle(tmp_path / "bundle", **changes))


def test_a_full_disk_leaves_no_half_model(sqlite_database, tmp_path):
    """The folder of models is a file: nothing can be written there."""
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot copy the bundle to .*models/first"):
        register(sqlite_database, tmp_path, "first")
    assert list_models(sqlite_database) == []


def test_the_promoted_model_runs_until_another_is(database, tmp_path):
    assert running_model(database) is None
    register(database, tmp_path, "first")
    register(database, tmp_path, "second")
    assert promote(database, "first", by="eva").running
    assert running_model(database).name == "first"
    promote(database, "second", by="eva")
    assert [(model.name, model.running) for model in list_models(database)] == [("second", True), ("first", False)]


def test_rolling_back_goes_back_through_the_history(database, tmp_path):
    for name in ("first", "second", "third"):
        register(database, tmp_path, name)
        promote(database, name, by="eva")
    assert rollback(database, by="max").name == "second"
    assert rollback(database, by="max").name == "first"
    with pytest.raises(StorageError, match="no model ran before the present one"):
        rollback(database, by="max")
    promote(database, "third", by="eva")
    assert rollback(database, by="max").name == "first"
    assert running_model(database).name == "first"
    with database.reading() as session:
        acts = [row.action for row in session.scalars(select(PromotionRow).order_by(PromotionRow.id))]
        audit = [(row.by, row.action) for row in session.scalars(select(AuditRow).order_by(AuditRow.id))]
    assert acts == ["promote"] * 3 + ["rollback"] * 2 + ["promote", "rollback"]
    assert audit[-1] == ("max", "model.rollback")


def test_rolling_back_before_any_promotion_says_so(database):
    with pytest.raises(StorageError, match="no model ran before"):
        rollback(database, by="eva")


def test_promoting_the_running_model_changes_nothing(database, tmp_path):
    register(database, tmp_path, "first")
    register(database, tmp_path, "second")
    for name in ("first", "second", "second"):
        promote(database, name, by="eva")
    assert rollback(database, by="eva").name == "first"


def test_promoting_an_unknown_model_names_it(database):
    with pytest.raises(StorageError, match="there is no model nothing: see loomwatch models list"):
        promote(database, "nothing", by="eva")


def test_a_model_whose_bundle_is_gone_or_damaged_is_not_promoted(database, tmp_path):
    for name in ("first", "second"):
        register(database, tmp_path, name)
        promote(database, name, by="eva")
    flip(tmp_path / "models" / "first" / "weights.safetensors")
    for act in (lambda: promote(database, "first", by="eva"), lambda: rollback(database, by="eva")):
        with pytest.raises(StorageError, match=r"weights\.safetensors is damaged"):
            act()
    shutil.rmtree(tmp_path / "models" / "first")
    with pytest.raises(StorageError, match=r"first is no bundle: cannot read manifest\.json"):
        promote(database, "first", by="eva")
    assert running_model(database).name == "second"


def test_the_same_bundle_registered_at_once_is_registered_once(database_url, tmp_path):
    bundle, failures = make_bundle(tmp_path / "bundle"), []
    barrier = threading.Barrier(4)

    def register_it():
        try:
            with open_database(database_url) as database:
                barrier.wait()
                import_bundle(database, bundle, tmp_path / "models", source="imported", by="eva")
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=register_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with open_database(database_url) as database:
        assert len(list_models(database)) == 1
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["first"]
