"""The documents keep their word: settings, files and links that they name are there."""

import re
from pathlib import Path

import pytest

from inspection.settings import SERVICES, CameraSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("settings", SERVICES, ids=lambda each: each.__name__)
def test_every_setting_is_documented_with_its_default_and_meaning(settings) -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for name, field in settings.model_fields.items():
        variable = f"{settings.model_config['env_prefix']}{name.upper()}"
        default = "empty" if field.default in ("", ()) else f"`{field.default}`"
        assert f"| `{variable}` | `{name}` | {default} | {field.description} |" in text


def test_every_setting_of_a_camera_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for name, field in CameraSettings.model_fields.items():
        default = "required" if field.is_required() else f"`{field.default}`"
        assert f"| `{name}` | {default} | {field.description} |" in text


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
