from pathlib import Path

import pytest

from inspection.errors import SettingsError
from inspection.settings import (
    SERVICES,
    CameraSettings,
    DashboardSettings,
    IngestSettings,
    StoreSettings,
    WorkerSettings,
    load,
)


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, and no setting from outside."""
    import os

    for name in list(os.environ):
        if name.startswith("LOOMWATCH_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("service", [*SERVICES, CameraSettings])
def test_every_setting_has_a_description(service: type[StoreSettings]) -> None:
    for name, field in service.model_fields.items():
        assert field.description, f"{service.__name__}.{name}"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_runs_on_defaults(service: type[StoreSettings]) -> None:
    load(service)


def test_defaults_need_no_server(bare: Path) -> None:
    store = load(StoreSettings)
    assert store.database == f"sqlite:///{bare}/runs/line/loomwatch.db"
    assert store.redis.startswith("unix://")
    assert store.pictures == str(bare / "runs/line/pictures")


def test_argument_beats_environment_beats_secret_beats_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "loomwatch.toml").write_text('database_url = "file"\n')
    assert load(StoreSettings).database_url == "file"
    secrets = bare / "secrets"
    secrets.mkdir()
    (secrets / "loomwatch_database_url").write_text("secret")
    monkeypatch.setenv("LOOMWATCH_SECRETS_DIR", str(secrets))
    assert load(StoreSettings).database_url == "secret"
    monkeypatch.setenv("LOOMWATCH_DATABASE_URL", "environment")
    assert load(StoreSettings).database_url == "environment"
    assert load(StoreSettings, database_url="argument").database_url == "argument"
    assert load(StoreSettings, database_url=None).database_url == "environment"


def test_each_service_reads_its_own_table(bare: Path) -> None:
    (bare / "loomwatch.toml").write_text(
        'log_level = "debug"\n[dashboard]\nport = 9000\n[ingest]\nline = "loom-7"\n'
        '[[ingest.cameras]]\nname = "left"\nsource = "sim://plain"\n'
    )
    assert load(StoreSettings).log_level == "debug"
    assert load(DashboardSettings).port == 9000
    ingest = load(IngestSettings)
    assert ingest.line == "loom-7"
    assert ingest.cameras[0].name == "left"
    assert ingest.log_level == "info"


def test_another_file_can_be_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "plant.toml").write_text("[dashboard]\nport = 9001\n")
    monkeypatch.setenv("LOOMWATCH_CONFIG", str(bare / "plant.toml"))
    assert load(DashboardSettings).port == 9001


def test_a_named_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_CONFIG", "nowhere.toml")
    with pytest.raises(SettingsError, match=r"nowhere\.toml, which does not exist"):
        load(StoreSettings)


@pytest.mark.parametrize("content", [b"port = \n", b"\xff\xfe"])
def test_a_broken_file_is_one_clear_line(bare: Path, content: bytes) -> None:
    (bare / "loomwatch.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"cannot read loomwatch\.toml") as error:
        load(StoreSettings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("service", "values", "says"),
    [
        (DashboardSettings, {"port": 70_000}, "port.*got 70000"),
        (IngestSettings, {"lease_s": 0}, "lease_s.*got 0"),
        (IngestSettings, {"lines": 3}, "lines.*got 3"),
        (IngestSettings, {"overlap_px": 256}, r"overlap_px must be in \[0, 256\), got 256"),
        (IngestSettings, {"cameras": [{"name": "../up", "source": "x"}]}, "cameras.0.name.*got '../up'"),
        (IngestSettings, {"cameras": [{"name": "a", "source": "x"}] * 2}, "names must differ, got a, a"),
        (IngestSettings, {"cameras": [{"name": "a"}]}, "cameras.0.source"),
        (WorkerSettings, {"credit": 65}, "credit.*got 65"),
        (StoreSettings, {"log_level": "loud"}, "log_level.*got 'loud'"),
    ],
)
def test_an_error_names_the_setting_and_quotes_the_value(
    service: type[StoreSettings], values: dict[str, object], says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as error:
        load(service, **values)
    assert "Traceback" not in str(error.value)


def test_an_error_in_the_environment_quotes_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_INGEST_TILE_PX", "many")
    with pytest.raises(SettingsError, match=r"tile_px.*got 'many'"):
        load(IngestSettings)


def test_cameras_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_INGEST_CAMERAS", '[{"name": "a", "source": "/frames", "mm_per_px": 0.4}]')
    assert load(IngestSettings).cameras == (CameraSettings(name="a", source="/frames", mm_per_px=0.4),)


def test_cameras_that_are_no_json_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_INGEST_CAMERAS", "camera-1=/frames")
    with pytest.raises(SettingsError, match=r'"cameras".*Expecting value') as error:
        load(IngestSettings)
    assert "\n" not in str(error.value)


def test_a_missing_folder_of_secrets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_SECRETS_DIR", "/nowhere/at/all")
    with pytest.raises(SettingsError, match="LOOMWATCH_SECRETS_DIR names /nowhere/at/all"):
        load(StoreSettings)


def test_ingestors_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_WORKER_INGESTORS", "tcp://a:1, tcp://b:2,")
    assert load(WorkerSettings).ingestors == ("tcp://a:1", "tcp://b:2")
    assert load(WorkerSettings, ingestors=("ipc:///x",)).ingestors == ("ipc:///x",)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(DashboardSettings).port = 1


def test_folders_are_absolute_whatever_the_process_does_later(bare: Path) -> None:
    assert load(IngestSettings, spool_dir=Path("spool")).spool_dir == bare / "spool"


SIDE_BY_SIDE = """
[[ingest.cameras]]
name = "left"
source = "rtsp://staff:secret@10.0.0.1/left"
overlap_right_mm = 20.0

[[ingest.cameras]]
name = "right"
source = "basler://1"
x_offset_mm = 780.0
overlap_left_mm = %s
encoder_mm_per_tick = -0.05
features = { PixelFormat = "Mono8", ExposureTime = 60.0, Height = 2048, ReverseX = true }
"""


def test_neighbours_that_agree_on_what_they_share_are_taken_with_their_features(bare: Path) -> None:
    (bare / "loomwatch.toml").write_text(SIDE_BY_SIDE % "20.0")
    right = load(IngestSettings).cameras[1]
    assert (right.overlap_left_mm, right.encoder_mm_per_tick) == (20.0, -0.05)
    features = {"PixelFormat": "Mono8", "ExposureTime": 60.0, "Height": 2048, "ReverseX": True}
    assert right.features == features
    assert [type(value) for value in right.features.values()] == [str, float, int, bool]
    assert list(right.features) == list(features)  # they are set in this order


def test_neighbours_that_disagree_on_what_they_share_are_refused_without_quoting_a_password(bare: Path) -> None:
    (bare / "loomwatch.toml").write_text(SIDE_BY_SIDE % "15.0")
    with pytest.raises(SettingsError, match="left has overlap_right_mm = 20, right has overlap_left_mm = 15") as caught:
        load(IngestSettings)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"width_min_mm": 900, "width_max_mm": 800}, "width_max_mm must be at least width_min_mm, got 800"),
        ({"encoder_bits": 7}, "encoder_bits"),
        ({"max_speed_m_min": 0}, "max_speed_m_min"),
        ({"features": {"Width": [1]}}, "features"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_cameras_impossible_setting_is_named(values: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load(IngestSettings, cameras=[{"name": "c", "source": "x", **values}])
