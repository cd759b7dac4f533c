"""System: health, what was lost, and what only admins see."""

import pytest
from sqlalchemy import select

from dashboard import system_data
from inspection.settings import StoreSettings
from storage.accounts import links, users
from storage.accounts.roles import NotAllowed
from storage.database import Database
from storage.live import Live
from storage.reads.audit_trail import AuditFilter, list_entries
from storage.reads.lost_cloth import lost_cloth
from storage.tables import AuditRow, GapRow
from tests.integration.dashboard.conftest import NAME, OpenPage, SignIn, text_of
from tests.integration.dashboard.plausible_line import service

pytestmark = pytest.mark.integration


def test_it_tells_what_is_well_what_is_not_and_what_was_lost(line: Database, open_page: OpenPage) -> None:
    page = open_page("system")
    words = text_of(page)
    assert "loomwatch.db" in words.replace("\\", "")
    assert "GB free" in words
    assert "look after it" in [str(badge.value) for badge in page.markdown] or "Redis" in words  # which is away here
    cameras, *_ = (frame.value for frame in page.dataframe)
    assert list(cameras["Camera"]) == ["cam-left", "cam-right"]
    with line.reading() as session:
        gaps = session.scalars(select(GapRow)).all()
    found = lost_cloth(line, since=min(gap.captured_at for gap in gaps))
    assert sum(each.length_mm for each in found) == pytest.approx(sum(gap.length_mm for gap in gaps))
    assert sum(each.gaps for each in found) == len(gaps)
    assert {each.reason for each in found} == {gap.reason.partition(":")[0] for gap in gaps}
    assert all(0 < each.share < 1 for each in found)
    assert "Streamlit" in words


def test_only_an_admin_sees_users_logs_and_who_did_what(
    line: Database, open_page: OpenPage, sign_in: SignIn, store: StoreSettings
) -> None:
    store.logs_dir.mkdir()
    (store.logs_dir / "worker.log").write_text("a secret of the plant\n")
    parts = {"users": NAME, "logs": "a secret of the plant", "audit": "Account added"}
    for part, shown in parts.items():
        page = open_page("system", part=part)
        assert shown in text_of(page) + "".join(code.value for code in page.code), part
    sign_in(line, "quality", name="Ben")
    for part, shown in parts.items():
        page = open_page("system", part=part)
        assert shown not in text_of(page) + "".join(code.value for code in page.code)
    for ask in (
        system_data.list_users,
        system_data.log_files,
        lambda: system_data.log_tail("worker.log"),
        lambda: system_data.audit_entries(AuditFilter(), limit=1, offset=0),
        system_data.audit_names,
        system_data.audit_kinds,
    ):
        with pytest.raises(NotAllowed):
            ask()


def test_a_log_is_one_of_the_logs(line: Database, store: StoreSettings) -> None:
    store.logs_dir.mkdir()
    (store.logs_dir / "worker.log").write_text("".join(f"line {number}\n" for number in range(50_000)))
    tail = system_data.log_tail("worker.log").splitlines()
    assert tail[-1] == "line 49999"
    assert len(tail) == system_data.LOG_LINES
    for name in ("../loomwatch.db", "/etc/passwd", "none.log"):
        with pytest.raises(Exception, match="there is no log"):
            system_data.log_tail(name)


def test_a_password_that_another_program_wrote_into_a_log_is_not_shown(line: Database, store: StoreSettings) -> None:
    store.logs_dir.mkdir()
    (store.logs_dir / "ingest.log").write_text(
        "opening rtsp://staff:se@cret@10.0.0.9/stream1\nredis://:hunter2@db:6379/0 at http://127.0.0.1:8501/roll?a=b\n"
    )
    assert system_data.log_tail("ingest.log") == (
        "opening rtsp://staff:***@10.0.0.9/stream1\nredis://:***@db:6379/0 at http://127.0.0.1:8501/roll?a=b"
    )


def test_an_admin_adds_somebody_who_chooses_a_password_by_a_link(line: Database, open_page: OpenPage) -> None:
    page = open_page("system", part="users")
    page.text_input[0].set_value("<b>Ben</b>")
    next(button for button in page.button if button.label == "Add user").click().run()
    assert not page.exception
    link = page.code[0].value
    secret = link.partition("/welcome#")[2]
    found = links.look_at_link(line, secret)
    assert found is not None
    assert (found.purpose, found.name) == ("password", "<b>Ben</b>")
    assert "\\<b\\>Ben" in page.success[0].value
    page.selectbox(key="system.user").set_value("<b>Ben</b>").run()
    assert not page.exception


def test_the_last_admin_cannot_shut_themselves_out(line: Database, open_page: OpenPage) -> None:
    page = open_page("system", part="users")
    next(button for button in page.button if button.label == "Disable").click().run()
    assert "last admin" in page.error[0].value
    assert not users.list_users(line)[0].disabled


def test_what_processes_say_of_themselves_is_in_the_viewers_language(
    line: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage
) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    live = Live(redis_url)
    live.publish_service(service("worker", "problem", "model x does not load: weights.safetensors is damaged"))
    live.publish_service(service("alarms", "problem", "sink lamp: broken pipe; sink mail: broken pipe"))
    users.set_preferences(line, by=NAME, language="de", units="metric")
    tables = [frame.value for frame in open_page("system").dataframe]
    [told] = [table for table in tables if "Sagt" in table]
    assert set(told["Sagt"]) >= {
        "Modell x lässt sich nicht laden: weights.safetensors is damaged",
        "Alarmziel lamp: broken pipe; Alarmziel mail: broken pipe",
    }


def test_the_audit_trail_is_filtered_by_a_link(line: Database, open_page: OpenPage) -> None:
    users.add_user(line, name="100% linen", role="viewer", password=None, by=NAME)
    users.add_user(line, name="100 linen", role="viewer", password=None, by=NAME)
    page = open_page("system", part="audit", by=NAME, kind="user", subject="100%")
    [table] = (frame.value for frame in page.dataframe)
    assert list(table["Of what"]) == ["100% linen"]
    entries, total = list_entries(line, AuditFilter(by=NAME), limit=1)
    with line.reading() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.by == NAME).order_by(AuditRow.id)).all()
    assert total == len(rows)
    assert entries[0].subject == rows[-1].subject == "100 linen"


def test_the_audit_trail_tells_how_in_words(line: Database, open_page: OpenPage) -> None:
    page = open_page("system", part="audit")
    [table] = (frame.value for frame in page.dataframe)
    assert len(table) > 10
    assert not [how for how in table["How"] if set(how) & set('{}"[]')]
    assert not [what for what in table["Of what"] if "/" in what]


def test_the_audit_trail_s_file_opens_in_spreadsheets_and_runs_nothing_there(line: Database) -> None:
    users.add_user(line, name="=1+1|Jürgen", role="viewer", password=None, by=NAME)
    content = system_data.audit_csv(AuditFilter(by=NAME, subject="=1+1"))()
    assert content.startswith(b"\xef\xbb\xbf")
    assert ",'=1+1|Jürgen," in content.decode("utf-8-sig")
