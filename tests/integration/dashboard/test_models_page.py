"""Models: versions and limits, promotion and roll back after a question, training."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import redis
import streamlit as st
from sqlalchemy import delete, func, select
from streamlit.testing.v1 import AppTest

from dashboard import data
from inspection.errors import StorageError
from storage import registry, shadow
from storage.database import Database
from storage.jobs import get_job, list_jobs
from storage.live import Live
from storage.schedules import Rule, add_schedule, get_schedule, list_schedules
from storage.tables import JobRow, PromotionRow
from tests.integration.dashboard.conftest import NAME, OpenPage, SignIn, text_of
from tests.integration.dashboard.plausible_line import LIMITS, add_job, service
from tests.records import make_bundle

pytestmark = pytest.mark.integration


def press(page: AppTest, key_or_label: str) -> AppTest:
    button = next(button for button in page.button if key_or_label in (button.key, button.label))
    assert not button.disabled, key_or_label
    return button.click().run()


def test_the_model_in_charge_is_marked_and_its_limits_told(line: Database, open_page: OpenPage) -> None:
    page = open_page("models")
    words = text_of(page)
    assert page.subheader[0].value == "cras\\-2024\\-05\\-19"
    assert "In charge" in words
    assert "by j\\.weber" in words
    limits = page.dataframe[0].value
    assert dict(zip(limits["Style"], limits["Limit"], strict=True)) == {k: f"{v:.3f}" for k, v in LIMITS.items()}
    assert set(limits["False alarms allowed"]) == {"1 per 100 m"}
    assert set(limits["Certainty"]) == {"estimated; 282 m more would show it"}
    assert "Frames told apart (image AUROC): 98.1 %" in words


def test_promotion_asks_first_and_then_is_done(line: Database, open_page: OpenPage) -> None:
    page = open_page("models")
    candidate = next(model for model in registry.list_models(line) if model.name == "cras-2024-06-01")
    assert "takes over from **cras\\-2024\\-05\\-19**" in text_of(page)
    press(page, f"promote.{candidate.id}")
    assert any("Write why" in error.value for error in page.error)
    assert registry.running_model(line).name == "cras-2024-05-19"  # type: ignore[union-attr]
    page.text_input(key=f"promote.reason.{candidate.id}").set_value("new season")
    press(page, f"promote.{candidate.id}")
    assert registry.running_model(line).name == "cras-2024-06-01"  # type: ignore[union-attr]
    assert page.subheader[0].value == "cras\\-2024\\-06\\-01"


def test_the_model_in_charge_cannot_be_promoted_again(line: Database, open_page: OpenPage) -> None:
    running = registry.running_model(line)
    assert running is not None
    page = open_page("models")
    assert next(button for button in page.button if button.key == f"promote.{running.id}").disabled


def test_promoting_a_model_that_knows_fewer_styles_warns(line: Database, open_page: OpenPage) -> None:
    page = open_page("models")
    assert any("does not know plain ecru" in warning.value for warning in page.warning)


def test_a_style_that_only_the_new_model_knows_is_promoted_for_itself(
    line: Database, open_page: OpenPage, tmp_path: Path
) -> None:
    running = registry.running_model(line)
    assert running is not None
    bundle = make_bundle(
        tmp_path / "more", "more", tile_px=running.manifest["tile_px"], mm_per_px=running.manifest["mm_per_px"],
        styles={"satin white": {"threshold": 0.5}}, provenance={"style": "satin white"},
    )  # fmt: skip
    more = registry.import_bundle(line, bundle, tmp_path / "models", source="added", by="eva")
    page = open_page("models")
    assert page.selectbox(key=f"promote.style.{more.id}").value == "satin white"
    page.text_input(key=f"promote.reason.{more.id}").set_value("a new style")
    press(page, f"promote.{more.id}")
    force = registry.in_force(line)
    assert force is not None
    assert (force.model.name, {style: own.name for style, own in force.styles.items()}) == (
        running.name, {"satin white": "more"}
    )  # fmt: skip


def test_roll_back_puts_the_former_model_in_charge_in_the_name_of_who_did_it(
    line: Database, open_page: OpenPage
) -> None:
    page = open_page("models")
    page.text_input(key="roll_back.reason").set_value("false alarms on twill")
    press(page, "roll_back")
    assert registry.running_model(line).name == "cras-2024-05-02"  # type: ignore[union-attr]
    with line.reading() as session:
        act = session.scalars(select(PromotionRow).order_by(PromotionRow.id.desc())).first()
    assert act is not None
    assert (act.action, act.by, act.reason) == ("rollback", NAME, "false alarms on twill")
    assert next(button for button in page.button if button.key == "roll_back").disabled


def test_no_model_in_charge_is_a_visible_warning(line: Database, open_page: OpenPage) -> None:
    with line.session() as session:
        session.execute(delete(PromotionRow))
    page = open_page("models")
    assert "No model is in charge" in page.warning[0].value
    assert "Promote one of the versions below" in page.warning[0].value


def test_starting_a_training_queues_a_job(
    line: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage
) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    page = open_page("models")
    press(page, "Start training")
    job = list_jobs(line)[0]
    assert (job.state, job.by) == ("queued", NAME)
    client = redis.Redis.from_url(redis_url)
    assert client.llen("rq:queue:loomwatch-training") == 1
    client.close()
    words = text_of(page)
    assert f"Asked for by {NAME}" in words
    assert "No trainer answers" in words
    press(page, "Start training")
    assert "your request joined it" in text_of(page)
    assert [job.state for job in list_jobs(line)].count("queued") == 1


def test_without_redis_a_training_is_refused_in_one_line(line: Database, open_page: OpenPage) -> None:
    before = len(list_jobs(line))
    page = press(open_page("models"), "Start training")
    assert not page.exception
    assert any("Redis" in error.value for error in page.error)
    assert len(list_jobs(line)) == before


def test_a_running_training_shows_how_far_it_is(
    line: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage
) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    Live(redis_url).publish_service(service("trainer", "training"))
    add_job(line, state="running", progress=0.42, message="epoch 7 of 15", at=datetime.now(UTC), by="m.ivanova")
    page = open_page("models")
    bar = page.get("progress")[0]
    assert bar.proto.value == 42
    assert bar.proto.text == "42 % · Epoch 7 of 15"
    assert "No trainer answers" not in text_of(page)
    assert any(button.label == "Ask for another training" for button in page.button)


def test_a_running_training_shows_its_loss_its_log_and_its_end_and_is_cancelled(
    line: Database, open_page: OpenPage
) -> None:
    now = datetime.now(UTC)
    add_job(line, state="running", progress=0.42, message="trains", at=now, by="m.ivanova")
    with line.session() as session:
        row = session.scalars(select(JobRow).where(JobRow.state == "running")).one()
        row.holder, row.tries, row.ends_at = "trainer-1", 2, now + timedelta(minutes=12)
        row.losses, row.log = [[1, 1, 0.9], [1, 2, 0.4]], [[now.isoformat(), "training on 96 tiles of 3 styles"]]
        job_id = row.id
    page = open_page("models")
    words = text_of(page)
    assert "ends about" in words
    assert "in 11 min" in words or "in 12 min" in words
    assert "try 2" in words
    assert "on trainer\\-1" in words
    assert page.code[0].value.endswith("Training on 96 tiles of 3 styles")
    assert any("Loss" in str(chart.proto) for chart in page.get("vega_lite_chart"))
    press(page, f"cancel.{job_id}")
    job = get_job(line, job_id)
    assert (job.state, job.message) == ("cancelled", f"cancelled by {NAME} at 42%")


def test_a_failed_training_is_tried_again(
    line: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage
) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    failed = next(job for job in list_jobs(line) if job.state == "failed")
    press(open_page("models"), f"retry.{failed.id}")
    assert get_job(line, failed.id).state == "queued"


def test_schedules_are_added_changed_run_and_removed(
    line: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage
) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    monkeypatch.setenv("LOOMWATCH_REPORT_TIME_ZONE", "Europe/Berlin")
    page = open_page("models")
    assert "Trainings are asked for by hand only" in text_of(page)
    page.selectbox(key="schedule.new.kind").set_value("weekly").run()
    page.text_input(key="schedule.new.name").set_value("sundays")
    page.time_input(key="schedule.new.at").set_value(time(3, 30))
    press(page, "schedule.new.save")
    assert not page.exception
    (schedule,) = list_schedules(line)
    assert (schedule.name, schedule.rule.kind, schedule.rule.at, schedule.by) == ("sundays", "weekly", "03:30", NAME)
    row = next(frame.value for frame in page.dataframe if "Schedule" in frame.value).iloc[0]
    assert (row["When"], row["Last run"]) == ("every Sunday at 03:30", "never")
    assert row["Next run"].endswith("03:30"), "by the plant's clock"
    assert "No trainer acts on schedules" in text_of(page)
    key = f"schedule.{schedule.id}"
    page.time_input(key=f"{key}.from").set_value(time(22, 0))
    press(page, f"{key}.save")
    assert any("quiet hours need a beginning and another end" in error.value for error in page.error)
    page = open_page("models")
    page.checkbox(key=f"{key}.enabled").set_value(False)
    press(page, f"{key}.save")
    assert get_schedule(line, "sundays").next_run_at is None
    press(page, f"{key}.run")
    assert get_schedule(line, "sundays").last_job_id == list_jobs(line)[0].id
    press(page, f"{key}.remove")
    assert list_schedules(line) == []


def test_a_schedule_that_is_refused_says_so_and_leaves_the_page(line: Database, open_page: OpenPage) -> None:
    page = press(open_page("models"), "schedule.new.save")
    assert any("A schedule needs a name" in each.value for each in page.error)
    assert "Side by side" in text_of(page), "what stands below is still there"
    assert list_schedules(line) == []


@pytest.mark.parametrize("reason", ["", "  "])
def test_no_model_comes_in_charge_without_a_reason(line: Database, open_page: OpenPage, reason: str) -> None:
    running = registry.running_model(line)
    for act in (
        lambda: data.promote("cras-2024-06-01", style="", reason=reason, override=True),
        lambda: data.roll_back(reason),
    ):
        with pytest.raises(StorageError, match="needs a reason"):
            act()
    assert registry.running_model(line) == running


def test_an_operator_sees_schedules_and_changes_none(line: Database, sign_in: SignIn, open_page: OpenPage) -> None:
    add_schedule(line, "nights", Rule(kind="nightly"), by="test", zone=ZoneInfo("UTC"))
    sign_in(line, "operator", name="Olga")
    page = open_page("models")
    assert next(frame.value for frame in page.dataframe if "Schedule" in frame.value).iloc[0]["Schedule"] == "nights"
    assert next(button for button in page.button if button.label == "Start training").disabled


def test_a_failed_training_is_shown_as_failed_with_its_reason(line: Database, open_page: OpenPage) -> None:
    [error] = open_page("models").error
    assert "Training failed" in error.value
    assert "8 at least are needed" in error.value


def test_the_page_is_drawn_again_when_a_training_has_ended(line: Database, open_page: OpenPage) -> None:
    add_job(line, state="running", progress=0.9, message="saving", at=datetime.now(UTC), by="m")
    page = open_page("models")
    with line.session() as session:
        row = session.scalars(select(JobRow).where(JobRow.state == "running")).one()
        row.state, row.message, row.ended_at = "done", "model new is ready to be promoted", datetime.now(UTC)
    import streamlit as st

    st.cache_data.clear()
    page.run()
    assert "Model new is ready to be promoted" in text_of(page)
    assert "Start training" in text_of(page)


def test_samples_are_counted(line: Database, open_page: OpenPage) -> None:
    assert "21 pictures · 3 styles" in text_of(open_page("models"))


def test_two_versions_stand_side_by_side_with_gate_and_shadow(line: Database, open_page: OpenPage) -> None:
    page = open_page("models")
    tables = [frame.value for frame in page.dataframe]
    figures = next(table for table in tables if "Figure" in table)
    assert list(figures.columns) == ["Figure", "cras-2024-05-19", "cras-2024-06-01"]
    assert figures.iloc[0].tolist() == ["Frames told apart (image AUROC)", "98.1 %", "98.7 %"]
    rules = [each.value for each in page.markdown if " · **" in each.value and ":small[" in each.value]
    assert {each.partition(" · ")[0] for each in rules} == {"\u2713 passed", "? not judged"}
    assert any(each.startswith("\u2713 passed · **Confirmed defects, all styles**  \n:small[Finds ") for each in rules)
    metrics = {metric.label: metric.value for metric in page.metric}
    assert (metrics["Alarms of both"], metrics["Only this one"], metrics["Agreement"]) == ("24", "3", "80 %")
    assert "cam\\-left" in text_of(page)
    assert "beside cras\\-2024\\-05\\-02, " in text_of(page), "whom the running one was judged beside"


def test_a_failed_gate_says_which_rule_and_is_overridden_with_a_reason(line: Database, open_page: OpenPage) -> None:
    page = open_page("models", right="cras-2024-05-02")
    [failed] = [each.value for each in page.markdown if each.value.startswith("\u2717 failed")]
    assert failed.endswith(":small[Finds 29 of 31 confirmed defects, the running model 31]")
    with line.session() as session:  # it never ran
        session.execute(
            delete(PromotionRow).where(PromotionRow.id == select(func.min(PromotionRow.id)).scalar_subquery())
        )
    st.cache_data.clear()
    page = open_page("models", right="cras-2024-05-02")
    old = next(model for model in registry.list_models(line) if model.name == "cras-2024-05-02")
    assert any("failed the gate" in warning.value for warning in page.warning)
    page.text_input(key=f"promote.reason.{old.id}").set_value("the two are stains of the lens")
    press(page, f"promote.{old.id}")
    assert any("failed the gate" in error.value for error in page.error)
    page.checkbox(key=f"promote.override.{old.id}").check()
    page.text_input(key=f"promote.reason.{old.id}").set_value("the two are stains of the lens")
    press(page, f"promote.{old.id}")
    assert registry.running_model(line).name == "cras-2024-05-02"  # type: ignore[union-attr]


def test_a_gate_is_asked_for_from_the_page(
    line: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage
) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    old = next(model for model in registry.list_models(line) if model.name == "cras-2024-05-02")
    page = press(open_page("models", right=old.name), f"gate.{old.id}")
    job = list_jobs(line)[0]
    assert (job.judges, job.state, job.by) == (old.name, "queued", NAME)
    assert next(button for button in page.button if button.key == f"gate.{old.id}").disabled
    assert "gate of cras\\-2024\\-05\\-02" in text_of(page)


def test_one_style_is_promoted_alone_and_a_shadow_is_stopped(line: Database, open_page: OpenPage) -> None:
    page = press(open_page("models"), "shadow.stop")
    assert shadow.running_shadow(line) is None
    candidate = next(model for model in registry.list_models(line) if model.name == "cras-2024-06-01")
    page.selectbox(key=f"promote.style.{candidate.id}").set_value("plaid red")
    page.text_input(key=f"promote.reason.{candidate.id}").set_value("new red")
    press(page, f"promote.{candidate.id}")
    force = registry.in_force(line)
    assert force is not None
    assert (force.model.name, force.styles["plaid red"].name) == ("cras-2024-05-19", "cras-2024-06-01")
    assert "In charge of plaid red" in text_of(page)
