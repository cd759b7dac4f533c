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
