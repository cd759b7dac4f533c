"""The page Set up: step by step from nothing, each by the role it needs, always as far as what is there says."""

from datetime import UTC, datetime
from pathlib import Path

import cv2
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import camera_form, setup_data
from dashboard.language import speaking
from dashboard.signed_in import NotAllowed
from dashboard.stored_sentences import told
from ingest.cloth_styles import STYLES
from ingest.simulator import normal_frames
from inspection.errors import SettingsError
from inspection.line_setup import LineSetup, change_setup, read_setup
from inspection.settings import CameraSettings, StoreSettings
from storage import registry
from storage.database import Database
from storage.jobs import list_jobs
from storage.pictures import PictureStore
from storage.sample_captures import list_captures
from storage.samples import add_sample
from storage.tables import JobRow
from tests.integration.dashboard.conftest import FOLDER, OpenPage, SignIn, text_of
from tests.records import make_bundle, make_png

pytestmark = pytest.mark.integration
SIM = CameraSettings(name="camera-1", source="sim://plain?speed_m_min=6")


def set_up(store: StoreSettings, **more: object) -> None:
    change_setup(store.data_dir, line="line-1", camera=SIM.model_dump(), **more)


def give_samples(database: Database, store: StoreSettings, *, style: str, number: int = 8) -> None:
    for seed in range(number):
        add_sample(
            database, PictureStore(store.pictures), style=style, png=make_png(seed, size_px=64), source="upload",
            roll_group=f"{seed}", mm_per_px=0.2, by="test",
        )  # fmt: skip


def import_model(database: Database, store: StoreSettings, *, style: str, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / f"bundles-{style}", name=f"knows-{style}", styles={style: {"threshold": 0.5}})
    registry.import_bundle(database, bundle, store.models_dir, source="trained", by="test")


def steps(page: AppTest) -> list[str]:
    """What stands under each step."""
    return list(page.radio[0].proto.captions)


def test_an_empty_house_is_led_to_its_first_step(empty_line: Database, store: StoreSettings) -> None:
    app = AppTest.from_file(str(FOLDER / "app.py"), default_timeout=60).run()
    assert not app.exception
    assert app.title[0].value == "Set up"
    assert app.subheader[0].value == "1 · Line"
    assert steps(app) == ["to do", *["later"] * 5]
    app.text_input(key="setup.line.name").set_value("hall 2")
    app.button(key="setup.line.save").click().run()
    assert read_setup(store.data_dir) == LineSetup(line="hall 2")
    assert app.subheader[0].value == "2 · Camera"
    assert steps(app)[:2] == ["hall 2", "to do"]


def test_a_line_that_runs_is_shown_first(line: Database) -> None:
    app = AppTest.from_file(str(FOLDER / "app.py"), default_timeout=60).run()
    assert app.title[0].value == "line\\-1"


def test_a_folder_is_seen_before_it_is_saved(
    empty_line: Database, store: StoreSettings, open_page: OpenPage, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    change_setup(store.data_dir, line="line-1")
    page = open_page("setup")
    page.text_input(key="setup.folder").set_value(str(folder)).run()
    assert not [button for button in page.button if button.key == "setup.camera.save"], "nobody has tried it"
    page.button(key="setup.look").click().run()
    assert f"there is no '{folder}'" in page.error[0].value.replace("\\", "")
    folder.mkdir()
    [pixels] = normal_frames("plain", seed=1, length_m=0.05, frame_lines=300)
    cv2.imwrite(str(folder / "1.png"), pixels[..., ::-1])
    page.button(key="setup.look").click().run()
    assert "The camera works" in page.success[0].value
    assert "186 mm wide" in page.success[0].value.replace("\\", "") or "187 mm wide" in page.success[0].value
    page.button(key="setup.camera.save").click().run()
    saved = read_setup(store.data_dir).camera
    assert saved is not None
    assert (saved.name, saved.source, saved.follow) == ("camera-1", str(folder), True)
    assert page.subheader[0].value == "3 · Style"


def test_another_choice_wants_another_picture(empty_line: Database, store: StoreSettings, open_page: OpenPage) -> None:
    change_setup(store.data_dir, line="line-1")
    page = open_page("setup")
    page.button_group(key="setup.kind").set_value("sim").run()
    page.number_input(key="setup.camera.lines").set_value(256)
    page.number_input(key="setup.sim.speed.m").set_value(60.0)
    page.button(key="setup.look").click().run()
    assert "The camera works" in page.success[0].value
    page.number_input(key="setup.sim.speed.m").set_value(30.0).run()
    assert not page.success
    assert not [button for button in page.button if button.key == "setup.camera.save"]


def test_a_password_is_kept_and_not_shown(empty_line: Database, store: StoreSettings, open_page: OpenPage) -> None:
    source = "rtsp://staff:secret@10.0.0.9/stream1"
    change_setup(store.data_dir, line="line-1", camera=SIM.model_copy(update={"source": source}).model_dump())
    page = open_page("setup", step="camera")
    assert "secret" not in text_of(page)
    assert [box.value for box in page.text_input] == ["camera-1", "rtsp://10.0.0.9/stream1", "staff", ""]
    saved = read_setup(store.data_dir).camera
    assert saved is not None
    assert camera_form.in_words(saved).endswith("***@10.0.0.9/stream1".replace("*", "\\*").replace(".", "\\."))


def test_what_loads_programs_is_not_named_on_a_page() -> None:
    for source in ("genicam:///tmp/mine.cti?device=1", "http://10.0.0.9/", "file:///etc/passwd"):
        with pytest.raises(SettingsError, match=r"loomwatch\.toml"):
            setup_data.checked({"name": "a", "source": source})


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("Kamera links", "/frames", "a camera's name has 1 to 64 letters a to z"),
        ("", "/frames", "a camera's name has 1 to 64 letters a to z"),
        ("left", "", "say where the camera's pictures come from"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_in_words(name: str, source: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        setup_data.checked({"name": name, "source": source})
    assert str(refused.value).startswith(said)
    with speaking("de"):
        assert told(str(refused.value))[1:] != str(refused.value)[1:]


def test_a_step_that_is_too_early_leads_to_the_one_that_is_next(empty_line: Database, open_page: OpenPage) -> None:
    page = open_page("setup", step="start")
    assert "First comes step 1: Line" in text_of(page)
    page.button(key="setup.before").click().run()
    assert "step" not in page.query_params
    assert page.subheader[0].value == "1 · Line"


def test_style_golden_roll_and_training_are_asked_for(
    empty_line: Database, store: StoreSettings, open_page: OpenPage, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    set_up(store)
    page = open_page("setup")
    page.text_input(key="setup.style.name").set_value("denim")
    page.button(key="setup.style.save").click().run()
    assert page.subheader[0].value == "4 · Golden roll"
    assert page.button(key="setup.golden.start").disabled, "nobody would take it"
    setup_data.start_golden_roll(20)
    [capture] = list_captures(empty_line, running=True)
    assert (capture.line, capture.camera, capture.style, capture.metres) == ("line-1", "camera-1", "denim", 20)
    page = open_page("setup")
    assert steps(page)[3] == "0 of 20 pictures"
    page.button(key="setup.golden.stop").click().run()
    assert list_captures(empty_line)[0].state == "stopped"
    give_samples(empty_line, store, style="denim")
    page = open_page("setup")
    assert page.subheader[0].value == "5 · Model"
    page.radio(key="setup.train.how").set_value("quick")
    page.button(key="setup.train.start").click().run()
    [job] = list_jobs(empty_line)
    assert (job.state, job.style, job.parameters) == ("queued", "", setup_data.QUICK)
    assert "being trained" in steps(page)[4]
    assert "No trainer answers" in text_of(page)


def test_a_training_that_ended_leads_to_the_next_step_at_once(
    empty_line: Database, store: StoreSettings, open_page: OpenPage, tmp_path: Path
) -> None:
    """After it nothing on the page is under way, so nothing would draw it again."""
    set_up(store, style="denim")
    give_samples(empty_line, store, style="denim")
    with empty_line.session() as session:
        session.add(
            JobRow(
                id="1",
                state="running",
                progress=0.5,
                message="trains",
                parameters={},
                by="test",
                created_at=datetime.now(UTC),
            )
        )
    page = open_page("setup")
    assert page.subheader[0].value == "5 · Model"
    assert "being trained" in steps(page)[4]
    import_model(empty_line, store, style="denim", tmp_path=tmp_path)
    with empty_line.session() as session:
        session.get_one(JobRow, "1").state = "done"
    assert page.run().subheader[0].value == "6 · Start"


def test_a_further_style_is_added_to_the_model_in_charge(
    empty_line: Database, store: StoreSettings, open_page: OpenPage, redis_url: str, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("LOOMWATCH_REDIS_URL", redis_url)
    import_model(empty_line, store, style="twill", tmp_path=tmp_path)
    registry.promote(empty_line, "knows-twill", by="test")
    set_up(store, style="denim")
    give_samples(empty_line, store, style="denim")
    page = open_page("setup")
    assert "by statistics alone" in text_of(page)
    page.button(key="setup.train.start").click().run()
    [job] = list_jobs(empty_line)
    assert (job.style, job.parameters) == ("denim", {"provisional": True})
    with empty_line.session() as session:
        session.get_one(JobRow, job.id).state = "done"
    import_model(empty_line, store, style="denim", tmp_path=tmp_path)
    open_page("setup").button(key="setup.start").click().run()
    force = registry.in_force(empty_line)
    assert force is not None
    assert (force.model.name, force.styles["denim"].name) == ("knows-twill", "knows-denim")
    assert [(each.state, each.parameters) for each in list_jobs(empty_line) if each.id != job.id] == [("queued", {})]


def test_a_style_that_the_model_knows_starts_at_once(
    empty_line: Database, store: StoreSettings, open_page: OpenPage, tmp_path: Path
) -> None:
    import_model(empty_line, store, style="twill", tmp_path=tmp_path)
    registry.promote(empty_line, "knows-twill", by="test")
    set_up(store, style="twill")
    page = open_page("setup")
    assert page.subheader[0].value == "6 · Start"
    page.button(key="setup.start").click().run()
    assert read_setup(store.data_dir).runs
    assert "The line starts" in text_of(page)
    page.button(key="setup.stop").click().run()
    assert not read_setup(store.data_dir).runs


def test_the_first_model_is_put_in_charge_by_the_start(
    empty_line: Database, store: StoreSettings, open_page: OpenPage, tmp_path: Path
) -> None:
    import_model(empty_line, store, style="twill", tmp_path=tmp_path)
    set_up(store, style="twill")
    give_samples(empty_line, store, style="twill")
    page = open_page("setup")
    assert page.subheader[0].value == "6 · Start"
    page.button(key="setup.start").click().run()
    running = registry.running_model(empty_line)
    assert running is not None
    assert running.name == "knows-twill"
    assert read_setup(store.data_dir).runs


@pytest.mark.parametrize(("role", "open_to"), [("quality", {"style"}), ("operator", set())])
def test_each_step_is_its_roles(
    empty_line: Database, store: StoreSettings, open_page: OpenPage, sign_in: SignIn, role: str, open_to: set[str]
) -> None:
    set_up(store)
    sign_in(empty_line, role, name="Somebody")
    for step, key in (("line", "setup.line.save"), ("camera", "setup.look"), ("style", "setup.style.save")):
        assert open_page("setup", step=step).button(key=key).disabled == (step not in open_to), step
    with pytest.raises(NotAllowed):
        setup_data.look(SIM.model_dump())


def test_cameras_that_are_set_elsewhere_are_told_of(line: Database, open_page: OpenPage) -> None:
    page = open_page("setup")
    assert steps(page)[:2] == ["cam\\-left, cam\\-right"] * 2
    assert "are not from this page" in text_of(open_page("setup", step="camera"))


def test_what_can_be_chosen_is_what_ingest_knows() -> None:
    assert set(camera_form.SIM_STYLES) == set(STYLES)
