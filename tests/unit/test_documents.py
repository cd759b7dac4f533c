"""The documents keep their word: settings, files and links that they name are there."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.core import Metric

from alarms.service import alarm_metrics
from inference_worker.figures import Figures
from inference_worker.teller import Teller
from ingest.watch import Watch
from inspection.monitor import Monitor
from inspection.settings import SERVICES, CameraSettings
from retraining.service import watch_metrics
from tests.records import make_report
from tests.states import camera_state, ingest_state

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("settings", SERVICES, ids=lambda each: each.__name__)
def test_every_setting_is_documented_with_its_default_and_meaning(settings) -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for name, field in settings.model_fields.items():
        variable = f"{settings.model_config['env_prefix']}{name.upper()}"
        default = "empty" if str(field.default) in ("", "()", "{}") else f"`{field.default}`"
        assert f"| `{variable}` | `{name}` | {default} | {field.description} |" in text


def test_every_setting_of_a_camera_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for name, field in CameraSettings.model_fields.items():
        default = "required" if field.is_required() else f"`{field.default}`"
        assert f"| `{name}` | {default} | {field.description} |" in text


def all_metrics() -> list[tuple[Metric, list[str]]]:
    """Each with its labels, service by service, of services that have something to tell."""
    watch = Watch("ingest", line="line-1", spool=None)
    watch.state = ingest_state(cameras=(camera_state(gaps={"seam": 1}),))
    figures = Figures()
    report = make_report()
    figures.inspected(report, stored_at_ns=report.scored_at_ns)
    figures.gap(report.header.gap("seam"))
    worker = Teller("w", live=None, database=None, figures=figures)
    worker.running = SimpleNamespace(name="plain", runtime_name="torch-float32")
    monitor = Monitor("worker", host="127.0.0.1", port=0, problems=list)
    metrics = [*monitor.collect(), *watch.collect(), *worker.collect(), *watch_metrics(training=True, waiting=0)]
    metrics += alarm_metrics(acts=True, waiting={"plant": 0})
    return [(metric, [name for name in metric.samples[0].labels if name != "le"]) for metric in metrics]


def exposed_name(metric: Metric) -> str:
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def test_every_metric_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    there = {
        f"| `{exposed_name(metric)}` | {', '.join(labels) or '-'} | {metric.documentation} |"
        for metric, labels in all_metrics()
    }
    assert {line for line in text.splitlines() if line.startswith("| `loomwatch_")} == there


def test_metrics_are_named_by_the_conventions_of_prometheus() -> None:
    for metric, _ in all_metrics():
        assert re.fullmatch(r"loomwatch_[a-z0-9_]+", metric.name)
        assert metric.documentation.endswith(".")
        unit = metric.name.rsplit("_", 1)[1]
        assert unit not in {"ms", "mm", "mb", "percent", "count"}, f"{metric.name}: base units, and _total by itself"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)
def test_files_that_are_named_exist(document: Path) -> None:
    named = re.findall(r"`((?:\w+/)+[\w.*-]*\.?\w*)`", document.read_text())
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for name in named:
        if name.split("/")[0] in folders and not name.startswith(("deploy/secrets", "runs/")):
            assert list(ROOT.glob(name.rstrip("/"))), f"{document.name} names {name}"
