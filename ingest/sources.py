"""Where pictures come from. `open_source` is the only place that knows which sources there are: another kind of
camera is one more entry here, and a file that gives `Shot`s.

A source tells of everything that passed it. What could not be read is a shot without pixels, with its length and its
reason, so that the count of millimetres stays whole.
"""

from pathlib import Path

from ingest import rtsp
from ingest.folder import FolderSource
from ingest.shots import Shot, Source
from ingest.simulator import SCHEME, SimulatedCamera, read_url
from ingest.video import VideoSource
from inspection.endpoints import without_password
from inspection.errors import SourceError
from inspection.pictures import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from inspection.settings import CameraSettings

__all__ = ["Shot", "Source", "open_source"]

KINDS = "a folder, a picture, a video file, rtsp://..., basler://..., genicam://... or sim://STYLE"


def open_source(camera: CameraSettings) -> Source:
    """The source a camera's setting names, opened and found usable.

    Raises `SourceError`: unknown kind, missing path, folder without pictures, video that cannot be decoded, unknown
    style or parameter of the simulator, a setting that the camera refuses; `SourceAwayError` when a camera does not
    answer now.
    """
    source = camera.source
    if source.startswith(SCHEME):
        cloth, run = read_url(source, mm_per_px=camera.mm_per_px)
        return SimulatedCamera(cloth, run, frame_lines=camera.frame_lines)
    if source.startswith(rtsp.SCHEMES):
        return rtsp.RtspSource(camera)
    if source.startswith("basler://"):
        from ingest.basler import BaslerSource  # an extra: only who has such a camera needs it

        return BaslerSource(camera)
    if source.startswith("genicam://"):
        from ingest.genicam_source import GenicamSource

        return GenicamSource(camera)
    if "://" in source:
        raise SourceError(f"camera {camera.name}: unknown kind of source {without_password(source)!r}: give {KINDS}")
    path = Path(source).expanduser()
    if not source or not path.exists():
        raise SourceError(f"camera {camera.name}: there is no {source!r}: give {KINDS}")
    if path.is_dir():
        return FolderSource(path, mm_per_px=camera.mm_per_px, frame_lines=camera.frame_lines, follow=camera.follow)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return FolderSource(path, mm_per_px=camera.mm_per_px, frame_lines=camera.frame_lines)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoSource(path, mm_per_px=camera.mm_per_px)
    known = " ".join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))
    raise SourceError(f"camera {camera.name}: {path} is no picture or video by its name: known are {known}")
