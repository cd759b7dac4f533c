"""The command line of samples: given, listed, looked at, decided, captured; and the frozen sets."""

import json

import pytest

from inspection.settings import StoreSettings, load
from loomwatch.cli import run
from loomwatch.terminal import console
from storage.database import Database, open_database, upgrade
from storage.jobs import list_jobs
from storage.pictures import PictureStore
from storage.sample_captures import list_captures
from storage.sample_sets import freeze_set
from storage.samples import add_sample, get_sample, list_samples, picture_size
from storage.tables import CameraRow, LineRow
from tests.integration.dashboard.plausible_line import keep_past_frame
from tests.records import START, make_png

pytestmark = pytest.mark.integration


@pytest.fixture
def place(tmp_path, redis_url, monkeypatch):
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    monkeypatch.setattr(console, "width", 240)
    upgrade(load(StoreSettings).database)
    return tmp_path


@pytest.fixture
def database(place):
    with open_database(load(StoreSettings).database) as database:
        yield database


@pytest.fixture
def pictures(place) -> PictureStore:
    return PictureStore(load(StoreSettings).pictures)


def said(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert run(["samples", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert run(list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def add(database: Database, pictures: PictureStore, number: int, **more):
    values = {"style": "twill", "source": "golden", "roll_group": f"g{number}", "mm_per_px": 0.2, "by": "eva"}
    return add_sample(database, pictures, png=make_png(number), **(values | more))


def test_given_looked_at_held_refused_and_accepted(place, database, pictures, capsys):
    good = place / "given" / "twill" / "train" / "good"
    good.mkdir(parents=True)
    for number in range(3):
        (good / f"{number}.png").write_bytes(make_png(number))
    assert "twill: 3 samples" in said(capsys, "add", str(place / "given"), "--by", "ben")
    chance = add(database, pictures, 9, source="reservoir", by="the line")
    assert "4 samples looked at, 1 held" in said(capsys, "guard")
    rows = said(capsys, "list", "--json", str(place / "counts.json"))
    assert "twill" in rows
    counts = {"waits": 0, "held": 1, "accepted": 3, "refused": 0}
    assert json.loads((place / "counts.json").read_text()) == {"twill": counts}
    held = said(capsys, "list", "--state", "held")
    assert "it was taken by chance, nobody has looked at it" in held
    assert "held for chance: 1" in held
    shown = said(capsys, "show", str(chance.id), "--json", str(place / "one.json"))
    assert "the line" in shown
    facts = json.loads((place / "one.json").read_text())
    assert (facts["state"], facts["source"], facts["decided by"]) == ("held", "reservoir", "the guard")
    assert "1 accepted" in said(capsys, "accept", str(chance.id), "--by", "ben")
    first = list_samples(database)[0].id
    assert "1 refused" in said(capsys, "refuse", str(first), "--reason", "a stain", "--by", "ben")
    assert "1 held" in said(capsys, "hold", str(chance.id), "--reason", "is this twill?", "--by", "ben")
    assert (get_sample(database, first).state, get_sample(database, first).decided_by) == ("refused", "ben")
    assert get_sample(database, chance.id).reasons[0].text == "ben: is this twill?"
    assert "1 more: --limit shows them" in said(capsys, "list", "--each", "--source", "golden", "--limit", "1")


def test_a_sample_is_moved_to_another_style(place, database, pictures, capsys):
    values = {"png": make_png(), "source": "upload", "roll_group": "g", "mm_per_px": 0.2, "by": "eva"}
    wrong = add_sample(database, pictures, style="twill", **values)
    add_sample(database, pictures, style="denim", **values)
    assert said(capsys, "move", str(wrong.id), "--style", "denim", "--by", "ben").strip() == "1 moved to denim"
    assert {sample.style for sample in list_samples(database)} == {"denim"}


def test_a_part_is_taken_instead_of_the_whole(place, database, pictures, capsys):
    whole = add(database, pictures, 1)
    words = said(capsys, "part", str(whole.id), "--left", "8", "--right", "40", "--bottom", "32", "--by", "ben")
    (part,) = list_samples(database)
    assert words.strip() == f"sample {part.id} is a part of sample {whole.id}, which is refused"
    assert picture_size(pictures.get(part.picture), "it") == (32, 32)
    assert (part.source, part.by) == ("part", "ben")
    assert "inside its picture of" in refused(
        capsys, "samples", "part", str(whole.id), "--right", "999", "--bottom", "9"
    )


def test_past_frames_are_listed_saved_and_taken(place, database, pictures, capsys):
    frame = keep_past_frame(pictures, "cam-1")
    listed = said(
        capsys, "past", "--camera", "cam-1", "--save", str(place / "saved"), "--json", str(place / "past.json")
    )
    assert frame.name in listed
    assert (place / "saved" / f"{frame.name}.png").read_bytes() == pictures.get(frame.key)
    (told,) = json.loads((place / "past.json").read_text())
    assert (told["frame"], told["roll"], told["position_mm"]) == (frame.name, "R-7", 8_000.0)
    take = ("take", frame.name, "--camera", "cam-1", "--style", "denim")
    words = said(capsys, *take, "--left", "100", "--bottom", "256", "--why", "season", "--by", "ben")
    (sample,) = list_samples(database)
    assert words.strip() == f"sample {sample.id} of denim waits for the guard"
    assert (sample.source, sample.why, sample.by, sample.state) == ("past", "season", "ben", "waits")
    assert picture_size(pictures.get(sample.picture), "it") == (256, 924)
    assert "inside its picture of 1024 x 512 px" in refused(capsys, "samples", *take, "--right", "2000")
    other = ("take", "00001-s1-9", "--camera", "cam-1", "--style", "denim")
    assert "no frame 00001-s1-9 of camera cam-1 is kept" in refused(capsys, "samples", *other)
    assert "no frames of camera x are kept" in said(capsys, "past", "--camera", "x")
    (place / "file").write_text("")
    assert "choose another folder" in refused(
        capsys, "samples", "past", "--camera", "cam-1", "--save", str(place / "file")
    )
    assert len(list_samples(database)) == 1


def test_a_golden_roll_is_asked_for_and_stopped(place, database, capsys):
    with database.session() as session:
        session.add(LineRow(name="line-1", created_at=START))
        session.flush()
        session.add(CameraRow(name="cam-1", line="line-1", created_at=START))
    asked = said(capsys, "golden", "denim", "--camera", "cam-1", "--metres", "20", "--why", "new yarn", "--by", "ben")
    assert "the next 20 m of camera cam-1 are denim" in asked
    (capture,) = list_captures(database)
    assert (capture.style, capture.metres, capture.why, capture.by) == ("denim", 20, "new yarn", "ben")
    assert f"capture {capture.id} is stopped, 0 m were taken" in said(capsys, "stop", str(capture.id))
    assert "does not run any more" in refused(capsys, "samples", "stop", str(capture.id))
    assert "20 m to 50 m, got 19 m" in refused(capsys, "samples", "golden", "a", "--camera", "cam-1", "--metres", "19")
    assert "there is no camera x" in refused(capsys, "samples", "golden", "denim", "--camera", "x")


def test_a_frozen_set_is_listed_shown_checked_and_learned_again(place, database, pictures, capsys):
    samples = [add(database, pictures, number) for number in range(3)]
    frozen = freeze_set(database, pictures, learned=samples[:2], held_out=samples[2:], recipe={"config": {}}, by="eva")
    assert frozen.sha256[:12] in said(capsys, "sets", "list")
    shown = said(capsys, "sets", "show", str(frozen.id), "--json", str(place / "set.json"))
    assert "every picture is as it was" in shown
    assert len(json.loads((place / "set.json").read_text())["learned"]) == 2
    assert run(["retrain", "--from-set", str(frozen.id), "--by", "ben"]) == 0
    assert f"learns set {frozen.id} again" in capsys.readouterr().out
    (job,) = list_jobs(database)
    assert (job.parameters, job.by) == ({"set": frozen.id}, "ben")
    pictures.put(samples[0].picture, make_png(8))
    assert "1 pictures of set 1 are not as they were" in refused(capsys, "samples", "sets", "show", "1")


def test_wrong_arguments_are_one_line(place, database, capsys):
    assert "there is no sample 7" in refused(capsys, "samples", "show", "7")
    assert "there is no sample 7" in refused(capsys, "samples", "accept", "7")
    assert "--state must be one of waits" in refused(capsys, "samples", "list", "--state", "new")
    assert "--source must be one of golden" in refused(capsys, "samples", "list", "--source", "x")
    assert "there is no set 2" in refused(capsys, "samples", "sets", "show", "2")
    assert "there is no set 2" in refused(capsys, "retrain", "--from-set", "2")
    assert "leave out --set" in refused(capsys, "retrain", "--from-set", "2", "--set", "epochs=3")
    assert list_jobs(database) == []
