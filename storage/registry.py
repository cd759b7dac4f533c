"""The registry of models: which bundles there are, which one runs, which ran before it.

A bundle is a folder of `manifest.json` and `weights.safetensors`; registering one copies it into the folder of models
under its name, complete and with every checksum verified, or not at all. Nothing here loads a model. What runs follows
from promotions and roll backs (`storage.in_force`): acts of staff, or of the mill's policy, and workers follow.
"""

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from inspection.errors import StorageAwayError, StorageError
from storage import audit
from storage.database import Database
from storage.gates import gate_row
from storage.in_force import LOCK, Standing, end_shadow, standing
from storage.tables import ModelRow, PromotionRow

MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_ASIDE = re.compile(r"\..+\.[0-9a-f]{8}(\.damaged)?")  # a copy that is not whole yet
COPIED_S = 3600.0  # no copy takes so long
_NEEDED = ("name", "tile_px", "mm_per_px", "styles", "files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A registered bundle. `path`: its folder. `source`: imported, trained, retrained or added (a style was added to
    another). `running`: it is in charge of all styles but those promoted apart; `styles`: it is in charge of these."""

    id: int
    name: str
    path: str
    manifest: dict[str, Any]
    source: str
    job_id: str | None
    by: str
    created_at: datetime
    running: bool
    styles: tuple[str, ...] = ()


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
        return _model(row, _in_charge(session))


def promote(
    database: Database, name: str, *, by: str, style: str = "", reason: str = "", override: bool = False
) -> Model:
    """Puts a model in charge, with its thresholds: of all styles, or of one; whose it is already stays, without a
    further promotion.

    A model that the gate failed, that a retraining made and no gate has compared with the running one, or that as a
    whole would take a style away is refused unless `override` is set, which needs a reason and is audited. Raises
    `StorageError` for that, for an unknown model or style, for one of another tile size or scale than the others in
    force, and when its bundle is gone or damaged.
    """
    with database.reading() as session:
        verify_bundle(session, name)
    with database.session() as session:
        database.lock(session, LOCK)
        return promote_within(session, name, by=by, style=style, reason=reason, override=override)


def promote_within(
    session: Session, name: str, *, by: str, style: str = "", reason: str = "", override: bool = False
) -> Model:
    """`promote` within a transaction that holds `LOCK`; whether the bundle is whole is not looked at. What raises has
    changed nothing."""
    row = _named(session, name)
    states = standing(session)[1]
    now = states[-1] if states else None
    if style:
        _check_style(session, row, style, now)
    if (now != Standing(model=row.id)) if not style else (now is None or now.of(style) != row.id):
        detail: dict[str, Any] = {"style": style, "reason": reason} if style or reason else {}
        against = _objection(session, row, style, states)
        if against and not override:
            raise StorageError(f"{against}; or override it with a reason")
        if against:
            if not reason.strip():
                raise StorageError(f"{against}: to override it takes a reason")
            detail |= {"override": against}
        session.add(
            PromotionRow(model_id=row.id, action="promote", style=style, reason=reason, by=by, at=datetime.now(UTC))
        )
        audit.record(session, by=by, action="model.promote", subject=name, detail=detail)
        end_shadow(session)
    return _model(row, _in_charge(session))


def objection(database: Database, name: str, *, style: str = "") -> str:
    """Why `promote` would refuse a model without an override, "" when it would not. Raises `StorageError`."""
    with database.reading() as session:
        return _objection(session, _named(session, name), style, standing(session)[1])


def rollback(database: Database, *, by: str, reason: str = "") -> Model:
    """Takes the last promotion back, of a whole model or of one style; again, the one before that. -> the model that
    is in charge then.

    Raises `StorageError` when nothing was in force before, or when a bundle of it is gone or damaged.
    """
    with database.session() as session:
        database.lock(session, LOCK)
        _, states = standing(session)
        if len(states) < 2:
            raise StorageError("no model ran before the present one: promote another one instead")
        before, now = states[-2], states[-1]
        for model_id in before.models - now.models:
            _verify(session.get_one(ModelRow, model_id))
        style = next((style for style in now.styles if before.of(style) != now.of(style)), "")
        row = session.get_one(ModelRow, before.of(style) if style else before.model)
        former = session.get_one(ModelRow, now.of(style) if style else now.model)
        session.add(
            PromotionRow(model_id=row.id, action="rollback", style=style, reason=reason, by=by, at=datetime.now(UTC))
        )
        detail = {"from": former.name} | ({"style": style} if style else {}) | ({"reason": reason} if reason else {})
        audit.record(session, by=by, action="model.rollback", subject=row.name, detail=detail)
        end_shadow(session)
        return _model(row, _in_charge(session))


def running_model(database: Database) -> Model | None:
    """The model of all styles that no other one is promoted for; None before the first promotion."""
    with database.reading() as session:
        running = _in_charge(session)
        return None if running is None else _model(session.get_one(ModelRow, running.model), running)


def list_models(database: Database) -> list[Model]:
    """All models, the latest first."""
    with database.reading() as session:
        running = _in_charge(session)
        rows = session.scalars(select(ModelRow).order_by(ModelRow.created_at.desc(), ModelRow.id.desc()))
        return [_model(row, running) for row in rows]


def model_of_job(database: Database, job_id: str) -> Model | None:
    """What a training has registered; None before it has."""
    with database.reading() as session:
        row = session.scalar(select(ModelRow).where(ModelRow.job_id == job_id).order_by(ModelRow.id.desc()))
        return None if row is None else _model(row, _in_charge(session))


def get_model(database: Database, name: str) -> Model:
    """Raises `StorageError` for an unknown one."""
    with database.reading() as session:
        return _model(_named(session, name), _in_charge(session))


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """act: number of the latest promotion or roll back; model: of all styles but those of `styles`; former: the models
    that a roll back would need besides."""

    act: int
    model: Model
    styles: dict[str, Model]
    former: tuple[Model, ...]

    @property
    def models(self) -> list[Model]:
        """Each once, the one of all styles first."""
        return list({model.id: model for model in (self.model, *self.styles.values())}.values())

    @property
    def by_style(self) -> dict[str, Model]:
        """Every style that is known, with the model in charge of it."""
        return dict.fromkeys(self.model.manifest["styles"], self.model) | self.styles


def in_force(database: Database) -> InForce | None:
    """What workers run now, and what they keep ready; None before the first promotion."""
    with database.reading() as session:
        act, states = standing(session)
        if not states:
            return None
        now = states[-1]
        wanted = now.models | (states[-2].models if len(states) > 1 else set())
        rows = {row.id: _model(row, now) for row in session.scalars(select(ModelRow).where(ModelRow.id.in_(wanted)))}
        return InForce(
            act=act,
            model=rows[now.model],
            styles={style: rows[number] for style, number in now.styles.items()},
            former=tuple(rows[number] for number in sorted(wanted - now.models)),
        )


def _in_charge(session: Session) -> Standing | None:
    states = standing(session)[1]
    return states[-1] if states else None


def _check_style(session: Session, row: ModelRow, style: str, now: Standing | None) -> None:
    if style not in row.manifest["styles"]:
        raise StorageError(
            f"model {row.name} does not know style {style}: it knows {', '.join(row.manifest['styles'])}"
        )
    if now is None:
        raise StorageError("no model is in charge yet: promote one for all styles first")
    main = session.get_one(ModelRow, now.model).manifest
    for key in ("tile_px", "mm_per_px"):
        if main[key] != row.manifest[key]:
            raise StorageError(
                f"model {row.name} has {key} {row.manifest[key]:g}, the one in charge {main[key]:g}: frames fit one of "
                "them only, promote it for all styles"
            )


def _objection(session: Session, row: ModelRow, style: str, states: Sequence[Standing]) -> str:
    """Why a model should not take over, "" when nothing is known against it."""
    if not states:
        return ""
    now, reasons = states[-1], list[str]()
    if not any(row.id in state.models for state in states):
        reasons += _of_the_gate(session, row, now.model)
    known = {*session.get_one(ModelRow, now.model).manifest["styles"], *now.styles}
    if not style and (lost := sorted(known - set(row.manifest["styles"]))):
        reasons.append(f"model {row.name} does not know {', '.join(lost)}: promote it for single styles")
    return "; ".join(reasons)


def _of_the_gate(session: Session, row: ModelRow, against: int) -> list[str]:
    gate = gate_row(session, row.id)
    if gate is not None and gate.verdict == "failed":
        failed = [rule["words"] for rule in gate.rules if rule["verdict"] == "failed"]
        return [f"model {row.name} failed the gate: {'; '.join(failed)}"]
    if row.source == "retrained" and (gate is None or gate.against_id != against):
        other = session.get_one(ModelRow, against).name
        return [f"no gate has compared model {row.name} with {other}: run loomwatch models gate {row.name}"]
    return []


def _row_named(session: Session, name: str) -> ModelRow | None:
    return session.scalar(select(ModelRow).where(ModelRow.name == name))


def _named(session: Session, name: str) -> ModelRow:
    row = _row_named(session, name)
    if row is None:
        raise StorageError(f"there is no model {name}: see loomwatch models list")
    return row


def verify_bundle(session: Session, name: str) -> None:
    """Raises `StorageError` when a model's bundle is gone or damaged."""
    _verify(_named(session, name))


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
    _sweep(target.parent)
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
        raise StorageAwayError(
            f"cannot copy the bundle to {target}: {reason}: free some space or check the folder"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sweep(models_dir: Path) -> None:
    """Removes what a killed `_copy` left aside, once no copy can still be at it."""
    for left in models_dir.glob(".*"):
        with suppress(OSError):  # another process was faster
            if _ASIDE.fullmatch(left.name) and time.time() - left.stat().st_ctime > COPIED_S:
                shutil.rmtree(left)


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


def _model(row: ModelRow, now: Standing | None) -> Model:
    return Model(
        id=row.id,
        name=row.name,
        path=row.path,
        manifest=row.manifest,
        source=row.source,
        job_id=row.job_id,
        by=row.by,
        created_at=row.created_at,
        running=now is not None and row.id == now.model,
        styles=tuple(sorted(style for style, number in now.styles.items() if number == row.id)) if now else (),
    )
