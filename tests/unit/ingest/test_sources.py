"""What `open_source` opens, and the one line for what it does not."""

import sys

import numpy as np
import pytest
from PIL import Image

from ingest.folder import FolderSource
from ingest.simulator import SimulatedCamera
from ingest.sources import open_source
from inspection.errors import SourceError
from inspection.settings import CameraSettings


def camera(source: object, **more: object) -> CameraSettings:
    return CameraSettings.model_validate({"name": "cam", "source": str(source), **more})


def picture(path, height=20, width=30, level=100):
    Image.fromarray(np.full((height, width), level, np.uint8)).save(path)


def test_a_folder_a_picture_and_a_simulation_open_by_their_look(tmp_path):
    picture(tmp_path / "a.png")
    for source, kind in ((tmp_path, FolderSource), (tmp_path / "a.png", FolderSource)):
        with open_source(camera(source)) as opened:
            assert isinstance(opened, kind)
            assert not opened.live
            assert [shot.origin for shot in opened.shots()] == ["a.png"]
    with open_source(camera("sim://plain?speed_m_min=6")) as opened:
        assert isinstance(opened, SimulatedCamera)
        assert opened.live


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("/nowhere/at/all", "'/nowhere/at/all'"),
        ("", "''"),
        ("gige://camera", "unknown kind of source 'gige://camera'"),
        ("http://staff:secret@camera/", r"unknown kind of source 'http://staff:\*\*\*@camera/'"),
        ("rtsp:///stream", "names no host"),
        ("genicam:///nowhere.cti", "no GenTL producer '/nowhere.cti'"),
        ("sim://velvet", "'velvet'.*choose from denim, herringbone, plaid, plain, twill"),
        ("sim://", "unknown style ''"),
        ("sim://plain?spede=3", "'spede'.*choose from defects_per_m, .*speed_m_min"),
        ("sim://plain?speed_m_min=fast", "speed_m_min must be a number, got 'fast'"),
        ("sim://plain?speed_m_min=-1", r"speed_m_min must be in \[0, 1000\], got '-1'"),
        ("sim://plain?seed=1.5", "seed must be a whole number, got '1.5'"),
        ("sim://plain?length_m=0", "length_m must be in"),
        ("sim://plain?length_m=nan", "length_m must be in"),
        ("sim://plain?width_mm=20", "leaves 2 mm of fabric"),
        ("sim://plain?seed=", "seed must be a whole number, got ''"),
    ],
)
def test_an_unusable_source_is_refused_at_open_with_one_line(source, told):
    with pytest.raises(SourceError, match=told) as caught:
        open_source(camera(source))
    assert "\n" not in str(caught.value)


def test_a_folder_without_pictures_is_refused_and_says_what_counts_as_one(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SourceError, match=r"holds no pictures \(.*\.png.*\): put some there"):
        open_source(camera(tmp_path))


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SourceError, match=r"notes\.txt is no picture or video"):
        open_source(camera(tmp_path / "notes.txt"))


@pytest.mark.parametrize(
    ("source", "module", "package", "extra"),
    [
        ("basler://1", "ingest.basler", "pypylon", "basler"),
        ("genicam:///p.cti", "ingest.genicam_source", "genicam", "genicam"),
    ],
)
def test_a_driver_that_is_not_installed_is_named_with_its_extra(monkeypatch, source, module, package, extra):
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not there
    with pytest.raises(SourceError, match=rf"needs \w+: pip install 'loomwatch\[{extra}\]'"):
        open_source(camera(source))
    sys.modules.pop(module, None)
