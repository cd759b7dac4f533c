"""The registry of models: which bundles there are, which one runs, which ran before it.

A bundle is a folder of `manifest.json` and `weights.safetensors`; registering one copies it into the folder of models
under its name, complete and with every checksum verified, or not at all. Nothing here loads a model. The running model
is the latest promotion's; promoting and rolling back are acts of staff, and workers follow.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.tables import ModelRow, PromotionRow

MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_NEEDED = ("name", "tile_px", "mm_per_px", "styles", "files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A registered bundle. `path`: its folder. `source`: imported, trained or retrained."""

    id: int
    name: str
    path: str
    manifest: dict[str, Any]
    source: str
    job_id: str | None
    by: str
    created_at: datetime
    running: bool


def read_bundle(folder: Path) -> tuple[dict[str, Any], str]:
    """A bundle's manifest and its sha256, after every file's checksum was verified.

    Raises `StorageError` that names the wrong file.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise StorageError(f"{folder} is no bundle: cannot read {MANIFEST}: {error.strerror}") from error
    try:
        manifest: dict[str, Any] = json.loads(data)
        stated = manifest["manifest_sha256"]
        blank = _encode(manifest | {"manifest_sha256": ""})
        intact = hashlib.sha256(blank).hexdigest() == stated and _encode(manifest) == data
        missing = [key for key in _NEEDED if key not in manifest]
        files = {str(name): str(digest) for name, digest in manifest.get("files", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise StorageError(f"bundle {folder}: {MANIFEST} is damaged: import it again from a good copy")
    if missing or not files:
        raise StorageError(f"bundle {folder}: {MANIFEST} lacks {', '.join(missing) or 'its files'}: train it again")
    if not _NAME.fullmatch(str(manifest["name"])):
        raise StorageError(f"bundle {folder}: name {manifest['name']!r} is not made of letters, digits, '_', '-', '.'")
    for name, expected in files.items():
        if Path(name).name != name or name == MANIFEST:
            raise StorageError(f"bundle {folder}: {MANIFEST} lists {name!r}, which is no file of a bundle")
        if _sha256(folder / name) != expected:
            raise StorageError(f"bundle {folder}: {name} is damaged (wrong checksum): import it again from a good copy")
    return manifest, hashlib.sha256(data).hexdigest()


def import_bundle(
    database: Database, folder: Path, models_dir: Path, *, source: str, by: str, job_id: str | None = None
) -> Model:
    """Copies a bundle to MODELS_DIR/NAME and registers it; the same bundle again is no error.

    Raises `StorageError` for a damaged bundle, a name that another bundle has, a disk that is full.
    """
    manifest, digest = read_bundle(folder)
    name = str(manifest["name"])
    target = models_dir / name
    with database.reading() as session:
        known = _row_named(session, name)
        if known is not None and known.sha256 != digest:
            raise StorageError(f"another model is called {name}: give the bundle another name, or use the one there")
    _copy(folder, target, digest)
    with database.session() as session:
        now = datetime.now(UTC)
        new = database.insert_new(
            session,
            ModelRow,
            name=name,
            path=str(target.absolute()),
            sha256=digest,
            manifest=manifest,
            source=source,
            job_id=job_id,
            by=by,
            created_at=now,
        )
        row = _named(session, name)
        if row.sha256 != digest:
            raise StorageError(f"another model is called {name}: give the bundle another name, or use the one there")
        if new is not None:
            audit.record(
                session, by=by, action="model.import", subject=name, detail={"source": source, "sha256": digest}
            )
        return _model(row, _running_id(session))


def promote(database: Database, name: str, *, by: str) -> Model:
    """Makes a model the running one; the one that runs already stays, without a further promotion.

    Raises `StorageError` for an unknown model, or one whose bundle is gone or damaged.
    """
    with database.reading() as session:
        _verify(_named(session, name))
    with database.session() as session:
        database.lock(session, "promotions")
        row = _named(session, name)
        if _running_id(session) != row.id:
            session.add(PromotionRow(model_id=row.id, action="promote", by=by, at=datetime.now(UTC)))
            audit.record(session, by=by, action="model.promote", subject=name, detail={})
        return _model(row, row.id)


def rollback(database: Database, *, by: str) -> Model:
    """Goes back to the model promoted before the running one; again, to the one before that.

    Raises `StorageError` when there is none, or when its bundle is gone or damaged.
    """
    with database.session() as session:
        database.lock(session, "promotions")
        history = _history(session)
        if len(history) < 2:
            raise StorageError("no model ran before the present one: promote another one instead")
        row, former = session.get_one(ModelRow, history[-2]), session.get_one(ModelRow, history[-1])
        _verify(row)
        session.add(PromotionRow(model_id=row.id, action="rollback", by=by, at=datetime.now(UTC)))
        audit.record(session, by=by, action="model.rollback", subject=row.name, detail={"from": former.name})
        return _model(row, row.id)


def running_model(database: Database) -> Model | None:
    """The model that workers run; None before the first promotion."""
    with database.reading() as session:
        running = _running_id(session)
        return None if running is None else _model(session.get_one(ModelRow, running), running)


def list_models(database: Database) -> list[Model]:
    """All models, the latest first."""
    with database.reading() as session:
        running = _running_id(session)
        rows = session.scalars(select(ModelRow).order_by(ModelRow.created_at.desc(), ModelRow.id.desc()))
        return [_model(row, running) for row in rows]


def _history(session: Session) -> list[int]:
    """The promotions still standing, the running model's last: a rollback takes the last one back."""
    standing: list[int] = []
    for model_id, action in session.execute(
        select(PromotionRow.model_id, PromotionRow.action).order_by(PromotionRow.id)
    ):
        if action == "rollback":
            standing.pop()
        else:
            standing.append(model_id)
    return standing


def _running_id(session: Session) -> int | None:
    return session.scalar(select(PromotionRow.model_id).order_by(PromotionRow.id.desc()).limit(1))


def _row_named(session: Session, name: str) -> ModelRow | None:
    return session.scalar(select(ModelRow).where(ModelRow.name == name))


def _named(session: Session, name: str) -> ModelRow:
    row = _row_named(session, name)
    if row is None:
        raise StorageError(f"there is no model {name}: see loomwatch models list")
    return row


def _verify(row: ModelRow) -> None:
    _, digest = read_bundle(Path(row.path))
    if digest != row.sha256:
        raise StorageError(f"model {row.name}: {row.path} now holds another bundle: import it again under a new name")


def _copy(folder: Path, target: Path, digest: str) -> None:
    """Complete or not at all: copied aside, verified, renamed. A good copy that is there already is left alone."""
    if target.exists() and (present := _digest(target)):
        if present == digest:
            return
        raise StorageError(f"{target} already holds another bundle: give this one another name")
    aside = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, aside)
        read_bundle(aside)
        if target.exists():  # a damaged copy
            target.rename(aside.with_name(f"{aside.name}.damaged"))
            shutil.rmtree(aside.with_name(f"{aside.name}.damaged"), ignore_errors=True)
        aside.rename(target)
    except OSError as error:
        if target.exists() and _digest(target) == digest:
            return  # another process was faster
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(
            f"cannot copy the bundle to {target}: {reason}: free some space or check the folder"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _digest(folder: Path) -> str:
    """Of the manifest of a bundle that is whole, "" of any other folder."""
    try:
        return read_bundle(folder)[1]
    except StorageError:
        return ""


def _encode(manifest: dict[str, Any]) -> bytes:
    """As a bundle's manifest is written; its own checksum is that of the file with `manifest_sha256` empty."""
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"bundle {path.parent}: cannot read {path.name}: {error.strerror}") from error


def _model(row: ModelRow, running: int | None) -> Model:
    return Model(
        id=row.id,
        name=row.name,
        path=row.path,
        manifest=row.manifest,
        source=row.source,
        job_id=row.job_id,
        by=row.by,
        created_at=row.created_at,
        running=row.id == running,
    )
