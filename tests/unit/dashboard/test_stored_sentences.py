"""Sentences of the stores are said in the viewer's language, names and figures kept."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import dashboard
from alarms.evaluate import evaluate
from alarms.facts import CameraFact, DefectFact, DriftFact, LineFacts, Passed, SeriesFact, WorkersFact
from cras_core.training import Progress
from dashboard import units
from dashboard.language import speaking
from dashboard.stored_sentences import SENTENCES, told
from retraining.training import _words
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import KINDS, parse_rule
from storage.reviews import act_in_words

ROOT = Path(dashboard.__file__).parent.parent
AT = datetime(2026, 3, 14, 8, 0, 12, tzinfo=UTC)
# Modules whose refusals a page shows
REFUSING = [
    "dashboard/company",
    "dashboard/data",
    "dashboard/sample_data",
    "dashboard/setup_data",
    "dashboard/signed_in",
    "dashboard/system_data",
    "inspection/line_setup",
    "inspection/pictures",
    "retraining/dataset",
    "retraining/gate",
    "retraining/provisional",
    "storage/accounts/company",
    "storage/accounts/links",
    "storage/accounts/passwords",
    "storage/accounts/roles",
    "storage/accounts/sign_in",
    "storage/accounts/users",
    "storage/alarms/alarm_store",
    "storage/confirmed_defects",
    "storage/defects/join_and_part",
    "storage/jobs",
    "storage/live",
    "storage/names",
    "storage/past_frames",
    "storage/redis_client",
    "storage/registry",
    "storage/reports/shifts",
    "storage/retention",
    "storage/reviews",
    "storage/rolls",
    "storage/sample_captures",
    "storage/sample_parts",
    "storage/sample_upload",
    "storage/samples",
    "storage/schedules",
    "storage/schema",
    "storage/sensitivity",
    "storage/shadow",
    "storage/suspensions",
    "storage/trends/looms",
    "storage/trends/periods",
]
# Of those, what only a command or a wrong program meets
NOT_SHOWN = (
    *("a defect is ", "a defect's name is ", "a defect's severity is ", "a sample is accepted, refused or held"),
    *("a training's device is ", "a training's time limit ", "the parameters of a training ", "a time is HH:MM"),
    *("neither database nor pictures ", "has no roll x", "is no PNG picture", "a week has every day"),
    *("this installation of loomwatch ", "cannot make the folder ", "holds tables of another program"),
    *("no roll for cloth captured at", "no roll x that staff opened", "check that it exists and may be read"),
)
# What is put together of parts, as it comes out
COMPOSED = {
    "alarm x is acknowledgedx already": [
        "alarm 3 is acknowledged by m.ivanova already", "alarm 3 is acknowledged already",
    ],
    "x of 1 to x characters is needed, got x": [
        "a reason of 1 to 500 characters is needed, got 0",
        "a remark of 1 to 500 characters is needed, got 0",
    ],
    "x: look at it again, then decide": [
        f"{who} meanwhile: look at it again, then decide"
        for who in (
            "defect 5 was changed",
            *(f"Anna {act_in_words(act, value, 'defect 5')}" for act, value in (
                ("verdict", "confirmed"), ("verdict", "rejected"), ("verdict", "unreviewed"), ("name", "hole"),
                ("name", ""), ("severity", "minor"), ("severity", ""), ("merge", "4, 5"), ("split", "8, 9"),
            )),
        )
    ],
    "camera x takes x already: stop it first, or wait for its end": [
        "camera left takes a golden roll of linen already: stop it first, or wait for its end",
        "camera left takes a frame already: stop it first, or wait for its end",
    ],
    "quiet hours need a beginning and another end": [
        "schedule: quiet hours need a beginning and another end, got {'kind': 'nightly'}"
    ],
    "schedule: xx, got x": [],
    "the name of a x has at most x printable characters, got x": [
        f"the name of a {what} has at most 120 printable characters, got 'x'" for what in ("line", "roll", "style")
    ],
    "roll x cannot x at x, which is still to come: give a past time": [
        f"roll R-1 cannot {act} at 2026-03-14, which is still to come: give a past time" for act in ("open", "close")
    ],
}  # fmt: skip
TELLING = ("storage/jobs.py", "storage/job_runs.py", "storage/shadow.py", "retraining/after.py", "retraining/job.py")
TELLING += ("retraining/gate.py", "retraining/guard.py", "retraining/provisional.py", "retraining/training.py")


def test_a_refusal_names_the_same_roles() -> None:
    with speaking("de"):
        assert told("this needs the role quality, and Anna Keller is viewer: ask an admin") == (
            "Das braucht die Rolle Qualität, und Anna Keller ist Betrachter: fragen Sie einen Administrator"
        )


@pytest.mark.parametrize("sentence", SENTENCES)
def test_each_is_found_again_with_its_names(sentence: str) -> None:
    names = re.findall(r"\{(\w+)\}", sentence)
    filled = sentence.format(**{name: f"<{name}>" for name in names})
    with speaking("de"):
        shown = told(filled)
    assert shown[1:] != filled[1:]
    assert "{" not in shown
    assert [name for name in names if f"<{name}>" not in shown and f"<{name[:-1]}>" not in shown] == []


@pytest.mark.parametrize("module", REFUSING)
def test_what_a_page_can_refuse_is_said_in_german(module: str) -> None:
    left = [
        text
        for found in refusals(f"{module}.py")
        for text in COMPOSED.get(found, [found])
        if is_english(text) and not any(part in text for part in NOT_SHOWN)
    ]
    assert left == []


@pytest.mark.parametrize("module", TELLING)
def test_what_a_training_or_a_shadow_tells_is_said_in_german(module: str) -> None:
    assert [text for text in tellings(module) if is_english(text)] == []


@pytest.mark.parametrize("stage", ["features", "heads", "calibration"])
@pytest.mark.parametrize("loss", [0.0, 0.125])
def test_how_far_a_training_is_is_said_in_german(stage: str, loss: float) -> None:
    words = _words(Progress(stage=stage, epoch=3, epochs=20, fraction=0.5, loss=loss, run=1))
    assert not is_english(words)


@pytest.mark.parametrize(
    ("rule", "begins"),
    [
        ({"kind": "severe_defect"}, "Schwere Fehler: Fehler 9, Punkt von 12 mm bei 3,20 m der Rolle R-7, 310 mm quer"),
        ({"kind": "running", "raise_m": 0.1}, "Laufender Fehler: Fehler 5, Linie in Kettrichtung von 400 mm"),
        ({"kind": "rate", "measure": "defects"}, "6 Fehler auf den letzten 100 m, gemeldet ab 10"),
        ({"kind": "rate"}, "9 Fehlerpunkte auf den letzten 100 m"),
        ({"kind": "coverage", "over_m": 1}, "Kamera left: 50% der letzten 1,0 m geprüft, sonst meist: das Bild war zu"),
        ({"kind": "periodic"}, "Periodischer Fehler alle 400,0 mm"),
        ({"kind": "drift"}, "Werte fehlerfreier Ware von Artikel linen an Kamera left: abgewandert"),
        ({"kind": "camera_down"}, "Kamera left ist stumm seit 2026-03-14 07:55:12 UTC: Ist sie verbunden"),
        ({"kind": "worker_down", "min_workers": 2}, "Nur 1 von 2 Prüfprozessen laufen"),
    ],
)
def test_an_alarm_is_told_in_german(rule: dict[str, object], begins: str) -> None:
    [text] = [signal.text for signal in raised(rule, workers=WorkersFact(running=1))]
    with speaking("de"):
        assert told(text).startswith(begins)


def test_an_alarm_of_each_kind_was_told() -> None:
    marks = test_an_alarm_is_told_in_german.pytestmark[0].args[1]
    assert {rule["kind"] for rule, _begins in marks} == set(KINDS)


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        (WorkersFact(running=0), "Kein Prüfprozess läuft: Ware wartet auf die Prüfung, starten Sie loomwatch worker"),
        (
            WorkersFact(running=None, why="Redis at redis://here:1: Connection refused: check that it runs and the "
                        "Redis URL is right"),
            "Nicht feststellbar, ob Prüfprozesse laufen: Redis unter redis://here:1: Connection refused: prüfen Sie, "
            "ob es läuft und die Redis-URL stimmt",
        ),
    ],
)  # fmt: skip
def test_an_alarm_that_nobody_inspects_says_why_in_german(workers: WorkersFact, said: str) -> None:
    [signal] = raised({"kind": "worker_down"}, workers=workers)
    with speaking("de"):
        assert told(signal.text) == said


def test_a_sentence_within_a_sentence_is_said_in_german_too() -> None:
    with speaking("de"):
        assert told(
            "model a failed the gate: finds 1 of 2 confirmed defects, the running model 2; style x: the running model "
            "knows it, the candidate does not; or override it with a reason"
        ) == (
            "Modell a hat die Freigabeprüfung nicht bestanden: findet 1 von 2 bestätigten Fehlern, das laufende Modell "
            "2; Artikel x: das laufende Modell kennt ihn, der Kandidat nicht; oder setzen Sie sich mit einem Grund "
            "darüber hinweg"
        )


def test_what_nobody_wrote_down_stays_as_it_is() -> None:
    with speaking("de"):
        assert told("the moon is full") == "The moon is full"


# --- parts ---------------------------------------------------------------------------------------------------------


def is_english(text: str) -> bool:
    with speaking("de"):
        return told(text)[1:] == text[1:]


def refusals(module: str) -> Iterator[str]:
    """The literal texts of what a module raises, with an x for each figure in them."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from literal(node.exc.args[:1])
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
            made = ast.unparse(node.value.func).endswith("Error")
            yield from literal(node.value.args[:1] if made else [])


def tellings(module: str) -> Iterator[str]:
    """The same of what it tells while something runs, and of how that ended."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("tell", "_end"):
            yield from literal(node.args[-1:])
        elif (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("message")) or (
            isinstance(node, ast.Return) and module.endswith(("after.py", "job.py")) and node.value is not None
        ):
            yield from literal([node.value])


def literal(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)
        if len(re.findall(r"[a-z]{2,}", text)) > 1:
            yield text


def raised(rule: dict[str, object], *, workers: WorkersFact) -> list[Signal]:
    """What a line says on which everything is amiss."""
    passed = [
        Passed(session="s", captured_at=AT, position_mm=500.0 * n, length_mm=500.0, reason="too_dark: mean 3" * (n % 2))
        for n in range(2)
    ]
    point = {
        "camera": "left",
        "counter": "s",
        "captured_at": AT,
        "x_mm": 310.0,
        "y0_mm": 500.0,
        "at_mm": 3200.0,
        "points": 1.0,
    }
    point |= {"strength": 2.0, "rejected": False, "roll": "R-7"}
    defects = [
        DefectFact(id=n, y1_mm=512.0, size_mm=12.0, geometry="point", severity="critical", **point)
        for n in (6, 7, 8, 9)
    ]
    long = {"y1_mm": 900.0, "size_mm": 400.0, "geometry": "warp_line", "severity": "minor"}
    defects += [DefectFact(id=5, **point | long | {"points": 4.0}), DefectFact(id=4, **point | {
        "y1_mm": 512.0, "size_mm": 12.0, "geometry": "area", "severity": "minor"})]  # fmt: skip
    facts = LineFacts(
        line="line-1",
        at=AT,
        workers=workers,
        passed={"left": passed},
        defects=defects,
        series=[
            SeriesFact(
                id=1, roll="R-7", x_mm=310.0, period_mm=400.0, next_mm=1300.0, hits=5, suspect="guide roller", open=True
            )
        ],
        cameras=[CameraFact(camera="left", heard_at=AT - timedelta(minutes=5), ended=False)],
        drift=[DriftFact(camera="left", style="linen", state="drifted")],
    )
    return [each for each in evaluate(parse_rule({"name": "it"} | rule), facts).signals if each.text]


@pytest.mark.parametrize(
    ("text", "spoken", "shown"),
    [
        (
            "severe defect: defect 5, warp line of 240 mm at 3.20 m of roll 5 m, 310 mm across, camera 2.5",
            "en",
            "Severe defect: defect 5, Line along the warp of 9.45 in at 3.50 yd of roll 5 m, 12.20 in across, "
            "camera 2.5",
        ),
        ("12 points in the last 100 m, raised at 15", "en", "12 points in the last 109 yd, raised at 15"),
        (
            "style twill: 2.0 false alarms per 100 m on 41.25 m held out, the running model 1.0, up to 3.0 is within "
            "its 95 % interval",
            "en",
            "Style twill: 1.8 false alarms per 100 yd on 45.11 yd held out, the running model 0.9, up to 2.7 is "
            "within its 95 % interval",
        ),
        ("a golden roll has 20 m to 50 m, got 60 m", "de", "Eine Musterrolle hat 22 yd bis 55 yd, gegeben sind 66 yd"),
        (
            "style twill has a sample at 0.2 mm/px, the model sees 0.1 mm/px: capture it at the model's (a.png)",
            "en",
            "Style twill has a sample at 0.2 mm/px, the model sees 0.1 mm/px: capture it at the model's (a.png)",
        ),
    ],
)
def test_lengths_and_rates_are_in_yards_for_who_wants_them_and_names_stay(text: str, spoken: str, shown: str) -> None:
    token = units._chosen.set("imperial")
    try:
        with speaking(spoken):
            assert told(text) == shown
    finally:
        units._chosen.reset(token)
    with speaking("en"):
        assert told(text) == text[:1].upper() + text[1:]


def test_figures_are_written_as_germans_write_them() -> None:
    with speaking("de"):
        assert "bei 3,20 m der Rolle 1.5," in told(
            "defect 5, hole of 2.5 mm at 3.20 m of roll 1.5, 310 mm across, camera 1"
        )
