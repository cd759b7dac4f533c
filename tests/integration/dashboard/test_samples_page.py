"""The page Samples: the gallery, what is held, acts on many, giving more, sensitivity replayed before saving."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from dashboard import data
from dashboard.stores import store
from storage.confirmed_defects import list_kept
from storage.database import Database
from storage.retention import prune
from storage.sample_captures import list_captures
from storage.samples import SampleFilter, add_sample, decide_samples, list_samples, picture_size
from storage.sensitivity import sensitivities
from storage.tables import DefectRow
from tests.integration.dashboard.conftest import OpenPage, SignIn
from tests.integration.dashboard.plausible_line import LIMITS, keep_past_frame
from tests.records import make_png

pytestmark = pytest.mark.integration


def texts(page: object) -> str:
    return "\n".join(each.value for kind in ("markdown", "caption", "warning", "info") for each in getattr(page, kind))


def of_state(line: Database, state: str) -> list[int]:
    return [sample.id for sample in list_samples(line, wanted=SampleFilter(state=state))]


def test_an_empty_line_says_what_to_do_next(empty_line: Database, open_page: OpenPage) -> None:
    page = open_page("samples")
    assert not page.exception
    assert "No samples yet" in page.info[0].value
    assert "No camera has delivered cloth yet" in texts(open_page("samples", part="give"))
    assert "No model is in charge" in open_page("samples", part="sensitivity").info[0].value


def test_what_is_held_is_shown_with_why_and_accepted_together(line: Database, open_page: OpenPage) -> None:
    held = of_state(line, "held")
    page = open_page("samples", state="held")
    assert f"{len(held)} samples are held" in page.warning[0].value
    assert "nobody has looked" in page.warning[0].value
    assert "The running model scores it higher than normal fabric, at 0\\.93 times its limit" in texts(page)
    assert "R\\-1040" in texts(page)
    page.checkbox(key=f"samples.tick.{held[0]}.held").check().run()
    page.button(key="samples.accept").click().run()
    assert not page.exception
    assert of_state(line, "held") == held[1:]
    page.button(key="samples.refuse").click().run()
    assert of_state(line, "held") == []
    assert page.success[0].value == f"{len(held) - 1} samples changed."


def test_a_sample_is_moved_to_its_style_and_seen_whole(line: Database, open_page: OpenPage) -> None:
    wrong, right = sorted(LIMITS)[:2]
    sample = next(each for each in list_samples(line, learnable=True) if each.style == wrong)
    page = open_page("samples", style=wrong)
    before = len(page.caption)
    page.button(key=f"samples.whole.{sample.id}").click().run()
    assert not page.exception
    assert len(page.caption) == before + 1, "where it came from stands beneath the picture again"
    page.checkbox(key=f"samples.tick.{sample.id}.accepted").check().run()
    page.selectbox(key="samples.move.style").select(right).run()
    page.button(key="samples.move").click().run()
    assert page.success[0].value == "1 sample changed."
    assert [(each.style, each.state) for each in list_samples(line) if each.id == sample.id] == [(right, "waits")]


def test_what_is_learned_is_taken_out(line: Database, open_page: OpenPage) -> None:
    style = sorted(LIMITS)[0]
    own = [sample.id for sample in list_samples(line, learnable=True) if sample.style == style]
    page = open_page("samples", style=style)
    page.checkbox(key=f"samples.tick.{own[0]}.accepted").check().run()
    page.button(key="samples.refuse").click().run()
    assert [sample.id for sample in list_samples(line, learnable=True) if sample.style == style] == own[1:]


def test_a_part_of_a_picture_is_taken_instead_of_the_whole(line: Database, open_page: OpenPage) -> None:
    whole = add_sample(
        line, store().pictures, style="twill navy", png=make_png(size_px=600), source="upload", roll_group="upload 1",
        mm_per_px=0.2, by="a.keller",
    )  # fmt: skip
    decide_samples(line, [whole.id], state="accepted", by="a.keller")
    page = open_page("samples", source="upload")
    assert not [each for each in page.button if each.key == "samples.part.take"]
    page.checkbox(key=f"samples.tick.{whole.id}.accepted").check().run()
    page.button(key="samples.part.take").click().run()
    assert "A part is less than the whole picture" in page.error[0].value
    page.slider(key=f"samples.across.{whole.id}").set_value((40, 400)).run()
    page.button(key="samples.part.take").click().run()
    assert not page.exception
    (part,) = list_samples(line, wanted=SampleFilter(source="part"))
    assert (part.style, part.state, part.roll_group) == (whole.style, "waits", whole.roll_group)
    assert page.success[0].value == f"The part waits for the guard as sample {part.id}."
    assert whole.id in [sample.id for sample in list_samples(line, active_only=False) if not sample.active]
    kept = data.picture(part.picture) or b""
    assert picture_size(kept, "it") == (600, 360)


def test_a_golden_roll_is_started_and_stopped(line: Database, open_page: OpenPage) -> None:
    page = open_page("samples", part="give")
    page.button(key="samples.golden").click().run()
    assert "A capture needs the name of its style" in page.error[0].value
    style = data.style_names()[-1]
    page.selectbox(key="samples.style").set_value(style)
    page.button(key="samples.golden").click().run()
    assert not page.exception
    (capture,) = list_captures(line)
    assert (capture.style, capture.metres, capture.state) == (style, 30, "running")
    page.button(key="samples.golden").click().run()
    assert f"takes a golden roll of {style} already" in page.error[0].value
    page.button(key=f"samples.stop.{capture.id}").click().run()
    assert list_captures(line)[0].state == "stopped"


def test_a_change_of_sensitivity_is_replayed_and_saved_with_a_reason(line: Database, open_page: OpenPage) -> None:
    style = next(each.style for each in sensitivities(line) if each.style != "plain ecru")
    with line.reading() as session:
        strongest = session.scalars(
            select(DefectRow.id).where(DefectRow.style == style).order_by(DefectRow.strength.desc())
        ).first()
    data.review(strongest or 0, "rejected")
    page = open_page("samples", part="sensitivity", style=style)
    assert not page.exception
    before = float(page.metric[0].value)
    page.number_input(key=f"sensitivity.{style}.m").set_value(0.0).run()
    assert float(page.metric[0].value) < before
    assert int(page.metric[2].value) > 0
    assert "would not have been found" in page.error[0].value
    page.button(key="sensitivity.save").click().run()
    assert "Write why" in page.error[-1].value
    page.text_input(key="sensitivity.reason").set_value("too many alarms")
    page.button(key="sensitivity.save").click().run()
    assert not page.exception
    assert next(each for each in sensitivities(line) if each.style == style).factor > 1


def test_a_viewer_sees_and_cannot_act(line: Database, sign_in: SignIn, open_page: OpenPage) -> None:
    sign_in(line, "viewer", name="Somebody")
    page = open_page("samples", state="held")
    assert page.button(key="samples.accept").disabled
    page.checkbox(key=f"samples.tick.{of_state(line, 'held')[0]}.held").check().run()
    assert page.button(key="samples.part.take").disabled
    assert open_page("samples", part="give").button(key="samples.golden").disabled
    assert open_page("samples", part="sensitivity").button(key="sensitivity.save").disabled


def test_a_past_frame_is_chosen_and_becomes_a_sample(line: Database, open_page: OpenPage) -> None:
    keep_past_frame(store().pictures, data.camera_names()[0])
    page = open_page("samples", part="give")
    page.text_input(key=next(each.key for each in page.text_input if "past.why" in (each.key or ""))).input("season")
    page.button(key="samples.past.take").click().run()
    assert not page.exception
    assert not page.error
    sample = list_samples(line, wanted=SampleFilter(source="past"))[0]
    assert (sample.style, sample.why, sample.state, sample.captured.roll) == ("linen", "season", "waits", "R-7")  # type: ignore[union-attr]
    assert "waits for the guard as sample" in page.success[0].value


def test_a_confirmed_defect_of_a_pruned_roll_is_taken_out_with_a_reason(line: Database, open_page: OpenPage) -> None:
    assert "No confirmed defect of a pruned roll" in texts(open_page("samples", part="confirmed"))
    prune(line, store().pictures, by="eva", days=1, at=datetime.now(UTC) + timedelta(days=900))
    kept, number = list_kept(line)
    assert number
    page = open_page("samples", part="confirmed")
    page.checkbox(key=f"samples.confirmed.tick.{kept[0].id}").check().run()
    page.button(key="samples.confirmed.out").click().run()
    assert "Write why" in page.error[0].value
    page.text_input(key="samples.confirmed.reason").set_value("a shadow")
    page.button(key="samples.confirmed.out").click().run()
    assert not page.exception
    assert page.success[0].value == "1 defect is taken out."
    assert list_kept(line)[0] == kept[1:]
