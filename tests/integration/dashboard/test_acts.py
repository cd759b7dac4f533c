"""Every act of the screens, by every role: it is done and written down in the name of who did it, or it is refused
below the page and nothing is written."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select

import dashboard
from dashboard import data, sample_data, setup_data, signed_in, stores, system_data
from inspection.line_setup import change_setup
from inspection.types import Roll
from storage import gates, jobs, registry
from storage.accounts import users
from storage.accounts.passwords import hash_password
from storage.accounts.roles import ROLES, NotAllowed, Role
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import parse_rule
from storage.database import Database
from storage.reviews import Done, Joined
from storage.rolls import list_rolls
from storage.sample_captures import list_captures
from storage.samples import list_samples
from storage.schedules import Rule
from storage.sensitivity import sensitivities
from storage.tables import AlarmRow, AuditRow, ConfirmedDefectRow, DefectRow, JobRow, PromotionRow, SampleRow, UserRow
from tests.integration.dashboard.conftest import SignIn
from tests.integration.dashboard.plausible_line import keep_past_frame
from tests.records import START, make_png

pytestmark = pytest.mark.integration
FOLDER = Path(dashboard.__file__).parent


def first_defect(database: Database) -> int:
    with database.reading() as session:
        return session.scalars(select(DefectRow.id).where(DefectRow.state == "unreviewed")).first() or 0


def alarm(database: Database) -> int:
    from datetime import UTC, datetime

    rule = parse_rule({"name": "camera-down", "kind": "camera_down"})
    with database.session() as session:
        alarm_store.observe(
            session,
            rule,
            line="line-1",
            signals=[Signal(subject="a", level="raise", text="silent")],
            at=datetime.now(UTC),
        )
    return alarm_store.list_alarms(database)[0].id


def two_defects(database: Database) -> dict[int, int | None]:
    """Of one roll."""
    with database.reading() as session:
        roll = session.scalars(
            select(DefectRow.roll_id).group_by(DefectRow.roll_id).having(func.count() > 1).order_by(DefectRow.roll_id)
        ).all()[-1]
        return dict.fromkeys(session.scalars(select(DefectRow.id).where(DefectRow.roll_id == roll).limit(2)))


def split(database: Database) -> object:
    joined = data.merge_defects(two_defects(database))
    return data.split_defect(joined.defect_id, [data.pieces_of(joined.defect_id)[0].key])


def named(database: Database) -> Done:
    """What there is to take back; where nobody may do it, something that was never done."""
    try:
        return data.name_defect(first_defect(database), "stain")
    except NotAllowed:
        return Done(defect_id=1, act="name", value="stain", previous="", version=1)


def joined(database: Database) -> Joined:
    try:
        return data.merge_defects(two_defects(database))
    except NotAllowed:
        return Joined(defect_id=1, version=1, parts=())


def training(database: Database, state: str) -> str:
    """What an act before it left; where nobody may do it, there is none."""
    return next((job.id for job in jobs.list_jobs(database) if job.state == state), "none")


def open_one(database: Database) -> Roll:
    return next(roll for roll in list_rolls(database) if roll.closed_at is None and not roll.automatic)


def candidate(database: Database) -> str:
    """Has passed the gate beside the model in charge."""
    running = registry.running_model(database)
    assert running is not None
    found = gates.latest_gates(database).values()
    return next(gate.model for gate in found if gate.against == running.name and not gate.failed)


def running_capture(database: Database) -> int:
    return next((capture.id for capture in list_captures(database, running=True)), 1)


def a_picture(database: Database) -> int:
    """A sample that may be cut; where nobody may upload one, that of another."""
    try:
        return sample_data.upload("y.png", make_png(2, size_px=640), style="denim", mm_per_px=0.2).id
    except NotAllowed:
        return list_samples(database)[0].id


def kept_defect(database: Database) -> int:
    """A confirmed defect of a roll that was pruned."""
    with database.session() as session:
        session.add(
            ConfirmedDefectRow(
                defect_id=9001, strongest=True, style="denim", line="line-1", camera="cam-1", counter="",
                x0_mm=10, x1_mm=20, y0_mm=10, y1_mm=20, x0_px=50, x1_px=100, y0_px=50, y1_px=100,
                fabric_width_px=512, fabric_length_px=512, mm_per_px=0.2, mask=b"", crop="", captured_at=START,
            )
        )  # fmt: skip
    return 9001


def take_a_past_frame() -> object:
    frame = keep_past_frame(stores.store().pictures, data.camera_names()[0])
    return sample_data.take_past_frame(frame, (0, 512, 0, 512), style="denim", why="")


def a_style(database: Database) -> str:
    return sensitivities(database)[0].style


def change_password(database: Database) -> None:
    """Of who has one."""
    with database.session() as session:
        for row in session.scalars(select(UserRow).where(UserRow.name == "Somebody")):
            row.password = hash_password("linen warp 1887")
    data.change_password("linen warp 1887", "jute weft 1912")


def start_line(database: Database) -> None:
    """Of a style that the model in charge knows."""
    change_setup(stores.store().settings.data_dir, style=a_style(database))
    setup_data.start_line()


@dataclass(frozen=True)
class Act:
    least: Role
    run: Callable[[Database], object]


ACTS: dict[str, Act] = {
    "review": Act("operator", lambda line: data.review(first_defect(line), "confirmed")),
    "name_defect": Act("operator", lambda line: data.name_defect(first_defect(line), "hole")),
    "set_severity": Act("operator", lambda line: data.set_severity(first_defect(line), "critical")),
    "act_on_defects": Act(
        "operator", lambda line: data.act_on_defects({first_defect(line): None}, "verdict", "confirmed")
    ),
    "undo_act": Act("operator", lambda line: data.undo_act(named(line))),
    "merge_defects": Act("operator", lambda line: data.merge_defects(two_defects(line))),
    "undo_merge": Act("operator", lambda line: data.undo_merge(joined(line))),
    "split_defect": Act("operator", split),
    "suspend_roll": Act("operator", lambda line: data.suspend_roll(open_one(line), "put aside")),
    "clear_roll": Act("quality", lambda line: data.clear_roll(open_one(line), "looked at")),
    "hold_roll": Act("quality", lambda line: data.hold_roll(open_one(line), "a complaint")),
    "release_roll": Act("quality", lambda line: data.release_roll(open_one(line))),
    "note_roll": Act("operator", lambda line: data.note_roll(open_one(line), "remarks", "new yarn")),
    "close_roll": Act("operator", lambda line: data.close_roll(open_one(line))),
    "open_roll": Act("operator", lambda line: data.open_roll("line-1", "R-2001", "")),
    "stop_shadow": Act("quality", lambda line: data.stop_shadow()),
    "start_shadow": Act("quality", lambda line: data.start_shadow(candidate(line))),
    "acknowledge_alarm": Act("operator", lambda line: data.acknowledge_alarm(alarm(line))),
    "start_gate": Act("quality", lambda line: data.start_gate(candidate(line))),
    "start_retraining": Act("quality", lambda line: data.start_retraining()),
    "retry_training": Act("quality", lambda line: data.retry_training(training(line, "failed"))),
    "cancel_training": Act("quality", lambda line: data.cancel_training(training(line, "queued"))),
    "save_schedule": Act("quality", lambda line: data.save_schedule("nights", Rule(kind="nightly"), new=True)),
    "run_schedule": Act("quality", lambda line: data.run_schedule("nights")),
    "remove_schedule": Act("quality", lambda line: data.remove_schedule("nights")),
    "decide": Act("quality", lambda line: sample_data.decide([list_samples(line)[0].id], "held", "is it twill?")),
    "take_out": Act("quality", lambda line: sample_data.take_out([kept_defect(line)], "it was none")),
    "move": Act("quality", lambda line: sample_data.move([list_samples(line)[0].id], data.style_names()[-1])),
    "start_capture": Act("quality", lambda line: sample_data.start_capture(data.camera_names()[0], "denim", 30)),
    "stop_capture": Act("quality", lambda line: sample_data.stop_capture(running_capture(line))),
    "upload": Act(
        "quality", lambda line: sample_data.upload("x.png", make_png(1, size_px=128), style="denim", mm_per_px=0.2)
    ),
    "take_past_frame": Act("quality", lambda _line: take_a_past_frame()),
    "add_part": Act("quality", lambda line: sample_data.add_part(a_picture(line), (0, 512, 0, 512))),
    "set_sensitivity": Act(
        "quality", lambda line: sample_data.set_sensitivity(a_style(line), 1.1, 2.0, 30.0, "calmer")
    ),
    "set_line": Act("admin", lambda line: setup_data.set_line("loom hall 2")),
    "save_camera": Act(
        "admin", lambda line: setup_data.save_camera({"name": "new", "source": "rtsp://staff:secret@10.0.0.9/"})
    ),
    "set_style": Act("quality", lambda line: setup_data.set_style("denim")),
    "start_golden_roll": Act("quality", lambda line: setup_data.start_golden_roll(20)),
    "start_training": Act("quality", lambda line: setup_data.start_training(careful=False)),
    "start_line": Act("admin", start_line),
    "stop_line": Act("admin", lambda line: setup_data.stop_line()),
    "promote": Act("quality", lambda line: data.promote("cras-2024-05-02", style="", reason="calmer", override=True)),
    "roll_back": Act("quality", lambda line: data.roll_back("false alarms")),
    "change_password": Act("viewer", change_password),
    "set_preferences": Act("viewer", lambda line: data.set_preferences("de", "imperial")),
    "add_user": Act("admin", lambda line: system_data.add_user("Carla", "viewer")),
    "set_role": Act("admin", lambda line: system_data.set_role("Anna Keller", "viewer")),
    "password_link": Act("admin", lambda line: system_data.password_link("Anna Keller")),
    "set_disabled": Act("admin", lambda line: system_data.set_disabled("Anna Keller", True)),
}
# Each asks for nothing but what a page shows, or for what `ACTS` holds already
NO_ACTS = {"look", "see_alarms", "log_files", "list_users", "audit_entries", "audit_csv", "audit_names", "audit_kinds"}
TABLES = (DefectRow, JobRow, PromotionRow, SampleRow, UserRow)


def written(database: Database) -> list[object]:
    with database.reading() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in TABLES]
        states = session.execute(select(DefectRow.state, DefectRow.code, DefectRow.severity)).all()
        people = session.execute(select(UserRow.name, UserRow.role, UserRow.disabled)).all()
        seen = session.execute(select(AlarmRow.acknowledged_by)).all()
        audit = session.scalar(select(func.max(AuditRow.id)))
        return [counts, sorted(states), people, seen, audit]


@pytest.mark.parametrize("role", ROLES)
def test_each_act_is_done_or_refused_by_role(
    line: Database, sign_in: SignIn, role: Role, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    users.add_user(line, name="Other", role="admin", password=None, by="test")
    sign_in(line, role, name="Somebody")
    for name, act in ACTS.items():
        if name == "acknowledge_alarm":
            alarm(line)
        before = written(line)
        if ROLES.index(role) < ROLES.index(act.least):
            with pytest.raises(NotAllowed, match=f"needs the role {act.least}, and Somebody is {role}"):
                act.run(line)
            assert written(line) == before, name
        else:
            act.run(line)
            with line.reading() as session:
                last = session.scalars(select(AuditRow).order_by(AuditRow.id.desc())).first()
            assert last is not None
            assert last.by == "Somebody", name
            assert last.id > before[-1], f"{name} left no entry"  # type: ignore[operator]


def test_who_is_not_signed_in_may_do_nothing(line: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_in, "browser_secret", lambda: "guessed")
    alarm(line)
    before = written(line)
    for act in ACTS.values():
        with pytest.raises(NotAllowed, match="not signed in"):
            act.run(line)
    assert written(line) == before


def test_no_act_gets_its_name_elsewhere() -> None:
    """Whatever writes takes `by=`, and on the screens' side only `allowed` gives one; each such act is tested above."""
    acts = set()
    for path in sorted(FOLDER.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or path.name == "signed_in.py":
                continue
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                asks = isinstance(call.func, ast.Name) and call.func.id == "allowed"
                if asks:
                    acts.add(function.name)
                for keyword in call.keywords:
                    writes = isinstance(call.func, ast.Attribute) and not call.func.attr.startswith("read_")
                    if keyword.arg == "by" and writes:
                        assert ast.unparse(keyword.value).startswith("allowed("), f"{path.name}: {function.name}"
    assert acts == set(ACTS) | NO_ACTS
