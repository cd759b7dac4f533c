"""The gate with real models, real held-out cloth and a real confirmed defect."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from cras_core.bundle import load_model, save_bundle
from cras_core.runtimes.builders import REFERENCE
from ingest.edges import find_edges
from ingest.simulator import normal_frames
from inspection.errors import StorageError
from inspection.settings import StoreSettings, TrainerSettings
from retraining.after import apply_policy
from retraining.gate import run_gate
from retraining.held_out import held_out_of
from retraining.job import run_training
from retraining.plan import make_plan
from retraining.provisional import add_provisional
from storage import registry
from storage.database import Database
from storage.frames import store_report
from storage.gates import Gate
from storage.job_runs import try_again
from storage.jobs import PROVISIONAL, add_request, get_job
from storage.model_policy import FalseAlarmsRule, ModelPolicy, RecallRule, StylesRule, set_policy
from storage.pictures import PictureStore
from storage.reviews import review_defect
from storage.sample_sets import read_set
from storage.samples import add_sample, decide_samples, list_samples
from storage.tables import DefectRow, JobRow
from tests.records import encode_png, make_defect, make_header, make_report

pytestmark = pytest.mark.integration
RULES = ModelPolicy(rules=(FalseAlarmsRule(), RecallRule()))


@pytest.fixture
def cloth():
    frames = normal_frames("plain", seed=11, length_m=0.0512 * 24, frame_lines=256, mm_per_px=0.2)
    return [frame[:, find_edges(frame)[0] :][:, :512] for frame in frames]


@pytest.fixture
def pictures(line_store: StoreSettings) -> PictureStore:
    return PictureStore(line_store.pictures)


@pytest.fixture
def line(line_database: Database, pictures: PictureStore, cloth) -> Database:
    """Samples of six rolls, and one confirmed defect: a black square."""
    for number, pixels in enumerate(cloth):
        add_sample(
            line_database, pictures, style="plain", png=encode_png(pixels), source="golden",
            roll_group=f"roll {number // 4}", mm_per_px=0.2, by="eva",
        )  # fmt: skip
    samples = list_samples(line_database)
    assert held_out_of(samples)
    decide_samples(line_database, [sample.id for sample in samples], state="accepted", by="eva")
    header = make_header(height_px=256, mm_per_px=0.2)
    defect = make_defect(200, 100, size_px=24, style="plain")
    spoiled = cloth[0].copy()
    spoiled[100:124, 190:214] = 0
    crop = spoiled[:, (190 + 214 - 256) // 2 :][:, :256]
    png = encode_png(crop)
    assert store_report(line_database, pictures, make_report(header=header, defects=(defect,), crops=((png, png),)))
    with line_database.reading() as session:
        (number,) = session.scalars(select(DefectRow.id))
    review_defect(line_database, pictures, number, state="confirmed", by="eva")
    set_policy(line_database, RULES, by="eva")
    return line_database


def candidate(store: StoreSettings, database: Database, bundles: Path, tmp_path: Path, name: str, value: float) -> None:
    model = load_model(bundles / "plain")
    facts = model.styles["plain"]
    styles = {"plain": replace(facts, threshold=replace(facts.threshold, value=facts.threshold.value * value))}
    save_bundle(replace(model, styles=styles), tmp_path / name, name=name, provenance={}, metrics={})
    registry.import_bundle(database, tmp_path / name, store.models_dir, source="retrained", by="eva")


def gate(
    store: StoreSettings, database: Database, pictures: PictureStore, name: str, *, runtime: str = REFERENCE
) -> Gate:
    found = run_gate(store, database, pictures, name, by="eva", device="cpu", runtime=runtime)
    assert found is not None
    return found


def test_the_gate_stops_false_alarms_and_missed_defects_and_shows_them(
    line: Database, line_store: StoreSettings, pictures: PictureStore, bundles: Path, tmp_path: Path
) -> None:
    for name, value in (("same", 1.0), ("loud", 1e-3), ("deaf", 1e3)):
        candidate(line_store, line, bundles, tmp_path, name, value)
    same = gate(line_store, line, pictures, "same", runtime="auto")
    assert not (line_store.data_dir / "runtimes").exists(), "no rule asks for what runtimes would have to be tried"
    assert {(rule.rule, rule.verdict) for rule in same.rules} == {("false_alarms", "passed"), ("recall", "passed")}
    assert same.rules[1].value == 1.0

    loud = gate(line_store, line, pictures, "loud")
    (failed,) = loud.failed
    assert failed.rule == "false_alarms"
    assert failed.value > failed.limit
    assert pictures.get(failed.pictures[0].picture).startswith(b"\x89PNG")

    deaf = gate(line_store, line, pictures, "deaf")
    (failed,) = deaf.failed
    assert (failed.rule, failed.value) == ("recall", 0.0)
    assert pictures.get(failed.pictures[0].heat).startswith(b"\x89PNG")

    assert "failed the gate" in apply_policy(line, deaf)
    with pytest.raises(StorageError, match="model deaf failed the gate: finds 0 of 1 confirmed defects"):
        registry.promote(line, "deaf", by="eva")
    set_policy(line, RULES.model_copy(update={"promotion": "gate"}), by="eva")
    assert "promoted by rule" in apply_policy(line, same)
    assert registry.running_model(line).name == "same"  # type: ignore[union-attr]
    with pytest.raises(StorageError, match="model same is in charge"):
        gate(line_store, line, pictures, "same")


def add_dark(line: Database, pictures: PictureStore, cloth) -> None:
    for number, pixels in enumerate(cloth):
        add_sample(
            line, pictures, style="dark", png=encode_png((pixels * 0.6).astype("uint8")), source="golden",
            roll_group=f"golden roll {number // 8}", mm_per_px=0.2, by="eva",
        )  # fmt: skip


class Crash(BaseException):
    """As a kill: nothing catches it."""


def test_a_style_whose_addition_is_killed_anywhere_is_added_once(
    line: Database, line_store: StoreSettings, pictures: PictureStore, cloth, monkeypatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise Crash

    add_dark(line, pictures, cloth)
    with line.session() as session:
        asked = add_request(line, session, by="eva", parameters=PROVISIONAL, style="dark")
    settings = TrainerSettings(device="cpu", name="t")
    before = set(line_store.models_dir.iterdir())
    for killed_at in ("storage.registry._copy", "retraining.job.finish_job"):
        monkeypatch.setattr(killed_at, crash)
        with pytest.raises(Crash):
            run_training(line_store, settings, line, asked.job_id)
        monkeypatch.undo()
        assert len(set(line_store.models_dir.iterdir()) - before) == (killed_at == "retraining.job.finish_job")
        try_again(line, asked.job_id, holder="t", reason="killed")
        with line.session() as session:
            session.get_one(JobRow, asked.job_id).not_before = None
        monkeypatch.setattr("retraining.provisional.add_style", crash)  # it is not learned again
    run_training(line_store, settings, line, asked.job_id)
    (model,) = [model for model in registry.list_models(line) if model.source == "added"]
    assert model.job_id == asked.job_id
    assert get_job(line, asked.job_id).state == "done"


def test_a_provisional_model_is_made_again_from_its_set_to_the_same_weights(
    line: Database, line_store: StoreSettings, pictures: PictureStore, cloth
) -> None:
    add_dark(line, pictures, cloth)
    first = add_provisional(line_store, line, pictures, "dark", by="eva", device="cpu", false_alarms_per_100m=3.0)
    registry.promote(line, first.name, by="eva", style="dark")
    dark = [sample.id for sample in list_samples(line) if sample.style == "dark"]
    decide_samples(line, dark[:30], state="refused", by="eva")  # what is there now does not matter
    with line.session() as session:
        asked = add_request(line, session, by="ben", parameters={"set": first.manifest["provenance"]["set"]})
    run_training(line_store, TrainerSettings(device="cpu", name="t"), line, asked.job_id)
    assert "knows style dark provisionally" in get_job(line, asked.job_id).message
    again = registry.model_of_job(line, asked.job_id)
    assert again is not None
    assert again.name != first.name
    assert again.manifest["files"] == first.manifest["files"]
    assert again.manifest["styles"]["dark"]["threshold"] == first.manifest["styles"]["dark"]["threshold"]


def test_a_style_that_its_own_model_was_trained_on_is_not_made_provisional_again(
    line: Database, line_store: StoreSettings, pictures: PictureStore, cloth, bundles: Path, tmp_path: Path
) -> None:
    add_dark(line, pictures, cloth)
    model = load_model(bundles / "plain")
    trained = replace(model, styles={"dark": model.styles["plain"]}, heads=model.heads.with_styles(("dark",)))
    save_bundle(trained, tmp_path / "for-dark", name="for-dark", provenance={}, metrics={})
    registry.import_bundle(line, tmp_path / "for-dark", line_store.models_dir, source="imported", by="eva")
    registry.promote(line, "for-dark", by="eva", style="dark")
    with pytest.raises(StorageError, match="model for-dark was trained on style dark: retrain it instead"):
        add_provisional(line_store, line, pictures, "dark", by="eva", device="cpu")


def test_a_new_style_is_added_at_once_provisionally_and_held_out_cloth_stays_so(
    line: Database, line_store: StoreSettings, pictures: PictureStore, cloth, bundles: Path, tmp_path: Path
) -> None:
    add_dark(line, pictures, cloth)
    model = add_provisional(line_store, line, pictures, "dark", by="eva", device="cpu")
    frozen = read_set(line, model.manifest["provenance"]["set"])
    assert model.manifest["provenance"]["samples_sha256"] == frozen.sha256
    assert {item.style for item in (*frozen.learned, *frozen.held_out)} == {"dark"}
    assert (frozen.recipe["added"], frozen.recipe["to"]) == ("dark", "plain")
    with pytest.raises(StorageError, match="is what style dark was added to model plain with"):
        make_plan(
            line, pictures, line_store.data_dir / "trainings" / "it", line_store.models_dir, source="trained",
            by="eva", parameters={"set": frozen.id},
        )  # fmt: skip
    styles = model.manifest["styles"]
    assert (styles["dark"]["provisional"], styles["plain"]["provisional"]) == (True, False)
    assert (model.source, model.running) == ("added", False)
    registry.promote(line, model.name, by="eva", style="dark")
    force = registry.in_force(line)
    assert force is not None
    assert (force.model.name, force.styles["dark"].name) == ("plain", model.name)
    candidate(line_store, line, bundles, tmp_path, "without-dark", 1.0)
    set_policy(line, ModelPolicy(rules=(StylesRule(),)), by="eva")
    failed = [rule.words for rule in gate(line_store, line, pictures, "without-dark").failed]
    assert failed == ["style dark: the running model knows it, the candidate does not"]
    with pytest.raises(StorageError, match="was trained on style plain: retrain it"):
        add_provisional(line_store, line, pictures, "plain", by="eva", device="cpu")
    with pytest.raises(StorageError, match="style satin has no accepted samples"):
        add_provisional(line_store, line, pictures, "satin", by="eva", device="cpu")
    dark = [sample.id for sample in list_samples(line) if sample.style == "dark"]
    decide_samples(line, dark, state="refused", by="eva")
    folder = tmp_path / "trainings" / "1"
    with pytest.raises(StorageError, match="style dark, which the running model knows, has no samples"):
        make_plan(line, pictures, folder, tmp_path, source="retrained", by="eva", parameters={}, device="cpu")
