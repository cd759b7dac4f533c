"""What the pages show of a year beside its figures (`loomwatch.bench_year`): pictures of its defects, samples, models
with their gates, alarms and trainings, for `bench_pages`.

A year keeps no pictures: all of its defects name those of the patterns that they were made of. Here these are drawn,
and the defects of the rolls that are looked at get files of their own names, so that no cache has them.
"""

import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert, select, update

from inference_worker.pictures import crops, encode
from inspection.types import Pixels
from loomwatch.bench_year import CAMERAS, HEIGHT_PX, LINE, MM_PER_PX, PATTERNS, START, STYLES, WIDTH_PX, make_report
from storage import gates, registry, samples
from storage.alarms.alarm_store import Signal, observe
from storage.alarms.rules import parse_rule
from storage.database import Database
from storage.pictures import PictureStore
from storage.tables import FragmentRow, JobRow, ModelRow, PromotionRow, SampleRow, Table

BY = "bench"
TILE_PX = 256
SAMPLES, MODELS, ALARMS, TRAININGS = 300, 4, 6, 20


def fill_content(
    database: Database, folder: Path, *, rolls: Collection[int], bundle: Path | None, tell: Callable[[str], None]
) -> None:
    """Adds what is not there yet. folder: of the pictures; rolls: whose defects get their own; bundle: whose manifest
    the models have, None for a store without models."""
    pictures = PictureStore(str(folder))
    _draw_defects(database, pictures, folder, rolls)
    _add_samples(database, pictures)
    if bundle is not None and not _there(database, ModelRow):
        _add_models(database, bundle)
    if not _there(database, JobRow):
        _add_trainings(database)
    _raise_alarms(database)
    tell(f"pictures of {len(rolls)} rolls, {SAMPLES} samples, models, alarms and trainings are there")


def _there(database: Database, table: type[Table]) -> bool:
    with database.reading() as session:
        return session.scalar(select(table).limit(1)) is not None


@lru_cache(maxsize=1)  # of the frames
def _cloth(height: int, width: int, *, seed: int) -> Pixels:
    """(height, width, 3) RGB, woven."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    yarn = 14 * np.sin(x * 2 * np.pi / 6) + 14 * np.sin(y * 2 * np.pi / 6)
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3)).astype(np.float32)
    return np.asarray(np.clip(np.array((170, 160, 140)) + yarn[:, :, None] + noise, 0, 255), np.uint8)


# --- defects -------------------------------------------------------------------------------------------------------


def _draw_defects(database: Database, pictures: PictureStore, folder: Path, rolls: Collection[int]) -> None:
    """The patterns' crops and heats, and links to them under the names of these rolls' own."""
    drawn = {camera: [_draw_pattern(pictures, camera, number) for number in range(PATTERNS)] for camera in CAMERAS}
    with database.session() as session:
        fragments = session.execute(
            select(FragmentRow.frame_id, FragmentRow.number, FragmentRow.camera, FragmentRow.defect_id)
            .where(
                FragmentRow.roll_id.in_(rolls), FragmentRow.defect_id.is_not(None), FragmentRow.camera.in_(CAMERAS)
            )  # the long roll's camera (`loomwatch.bench_roll`) has no pictures
        ).all()  # fmt: skip
        own = []
        for row in fragments:
            key = f"defects/{LINE}/{row.camera}/bench/{row.defect_id:09d}"
            names = {"crop": f"{key}.png", "heat": f"{key}_heat.png"}
            for kind, name in names.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.link(folder / drawn[row.camera][row.defect_id % PATTERNS][kind], folder / name)
            own.append({"frame_id": row.frame_id, "number": row.number, **names})
        if own:
            session.execute(update(FragmentRow), own)


def _draw_pattern(pictures: PictureStore, camera: str, number: int) -> dict[str, str]:
    """Keys of its crop and heat, as its fragments have them."""
    rng = np.random.default_rng([1, CAMERAS.index(camera), number])
    report = make_report(camera, "pattern", 0, START, rng, crops=False)
    defect = report.defects[0]
    cloth, ratios = _cloth(HEIGHT_PX, WIDTH_PX, seed=0).copy(), np.full((HEIGHT_PX, WIDTH_PX), 0.4, np.float32)
    place = np.s_[defect.y0_px : defect.y1_px, defect.x0_px : defect.x1_px]
    cloth[place][defect.mask] //= 3
    ratios[place][defect.mask] = 1.5
    key = f"defects/{LINE}/{camera}/s00000/000000/{number:09d}-0"
    names = {"crop": f"{key}.png", "heat": f"{key}_heat.png"}
    crop, heat = crops(cloth, ratios, (defect,), report.header, tile_px=TILE_PX)[0]
    pictures.put(names["crop"], crop)
    pictures.put(names["heat"], heat)
    return names


# --- samples, models, alarms, trainings ----------------------------------------------------------------------------


def _add_samples(database: Database, pictures: PictureStore) -> None:
    """Golden ones and false alarms, of each style as many; of ten one waits for the guard. The same ones each time."""
    for number in range(SAMPLES):
        samples.add_sample(
            database,
            pictures,
            style=STYLES[number % len(STYLES)],
            png=encode(_cloth(TILE_PX, TILE_PX, seed=number), suffix=".png"),
            source=("golden", "rejected")[number % 2],
            roll_group=f"golden-{number // 20}",
            mm_per_px=MM_PER_PX,
            by=BY,
        )
    with database.session() as session:
        session.execute(update(SampleRow).where(SampleRow.id % 10 > 0).values(state="accepted", decided_at=START))


def _add_models(database: Database, bundle: Path) -> None:
    """One behind the other in charge, the last a candidate; each has passed its gate."""
    manifest, digest = registry.read_bundle(bundle)
    facts = list(manifest["styles"].values())
    manifest["styles"] = {style: facts[number % len(facts)] for number, style in enumerate(STYLES)}
    names = [f"bench-{number}" for number in range(MODELS)]
    rule = gates.RuleResult(
        rule="recall", verdict="passed", words="finds 31 of 31 confirmed defects, the running model 31",
        style="", value=1.0, limit=1.0,
    )  # fmt: skip
    with database.session() as session:
        session.execute(
            insert(ModelRow),
            [
                {"name": name, "path": str(bundle.absolute()), "sha256": digest, "manifest": manifest | {"name": name},
                 "source": "retrained", "by": BY, "created_at": START + timedelta(days=80 * number)}
                for number, name in enumerate(names)
            ],
        )  # fmt: skip
        ids = {row.name: row.id for row in session.execute(select(ModelRow.name, ModelRow.id))}
        session.execute(
            insert(PromotionRow),
            [
                {"model_id": ids[name], "action": "promote", "by": BY, "at": START + timedelta(days=80 * number + 1)}
                for number, name in enumerate(names[:-1])
            ],
        )
    for name, against in zip(names[1:], names, strict=False):
        gates.save_gate(database, model=name, against=against, rules=[rule] * len(STYLES), by=BY)


def _add_trainings(database: Database) -> None:
    ended: dict[str, Any] = {"state": "done", "progress": 1.0, "message": "a model is ready", "by": BY}
    ended |= {"parameters": {}}
    at = [START + timedelta(days=10 * number) for number in range(TRAININGS)]
    log = [[START.timestamp(), f"epoch {epoch} of 100, loss 0.125"] for epoch in range(100)]
    rows = [
        {**ended, "id": f"bench-{number}", "created_at": when, "started_at": when, "ended_at": when, "log": log}
        for number, when in enumerate(at)
    ]
    with database.session() as session:
        session.execute(insert(JobRow), rows)


def _raise_alarms(database: Database) -> None:
    """Those that staff have not acknowledged."""
    text = "severe defect: defect {}, warp line of 240 mm at 3.20 m of roll R-02999, 310 mm across, camera left"
    for number in range(ALARMS):
        rule = parse_rule({"name": f"bench-{number}", "kind": "severe_defect"})
        with database.session() as session:
            observe(session, rule, line=LINE, signals=[Signal(level="raise", text=text.format(number))],
                    at=datetime.now(UTC))  # fmt: skip
