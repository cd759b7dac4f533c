"""All that a frame must pass before it is cut, in one place: what the settings demand of light and width, and what
the camera's own past tells of focus, seams and its lens. A frame that does not pass is a gap with its reason.
"""

from ingest.lens import Lens
from ingest.quality import Look, judge, measure
from ingest.reference import Compared, References
from inspection.settings import CameraSettings, IngestSettings
from inspection.types import Pixels

SEAM_TIMES = 2.0  # what the fabric's own bands reach, as in a plaid


class Gates:
    """One camera's. Its reference is kept from start to start."""

    def __init__(self, camera: CameraSettings, settings: IngestSettings) -> None:
        self._camera = camera
        self._settings = settings
        self._references = References(settings.references / f"{camera.name}.json")
        self._lens = Lens()
        self._seam_end_mm: float | None = None

    def begin(self) -> None:
        """A new session: positions start again."""
        self._seam_end_mm = None

    def judge(
        self, pixels: Pixels, edges: tuple[int, int] | None, *, position_mm: float
    ) -> tuple[str, tuple[str, ...]]:
        """(reason, warnings): "" or a code of `REASONS` with detail, and of `WARNINGS`.

        pixels: the whole frame; edges: the fabric's columns [left, right), or None when there is none.
        """
        left, right = edges or (0, pixels.shape[1])
        fabric = pixels[:, left:right]
        # Without edges the whole frame is judged: a dark lamp is a better reason than missing fabric.
        reason = judge(fabric, dark_level=self._settings.dark_level, bright_level=self._settings.bright_level)
        if reason or edges is None:
            return reason or "no_fabric", ()
        if reason := self._judge_width(right - left):
            return reason, ()
        look = measure(fabric, mm_per_px=self._camera.mm_per_px)
        compared = self._references.compare(look)
        length_mm = pixels.shape[0] * self._camera.mm_per_px
        return (
            self._judge_seam(look, compared, position_mm, position_mm + length_mm) or self._judge_focus(compared),
            self._warnings(look, compared, left_px=left, width_px=pixels.shape[1], length_mm=length_mm),
        )

    def _judge_width(self, width_px: int) -> str:
        width_mm, camera = width_px * self._camera.mm_per_px, self._camera
        if width_mm >= camera.width_min_mm and (not camera.width_max_mm or width_mm <= camera.width_max_mm):
            return ""
        most = f"to {camera.width_max_mm:g} mm" if camera.width_max_mm else "and more"
        return f"width_out_of_range: {width_mm:.0f} mm of fabric, {camera.width_min_mm:g} mm {most} expected"

    def _judge_seam(self, look: Look, compared: Compared, start_mm: float, end_mm: float) -> str:
        if not self._camera.seam_level:
            return ""
        if compared.band_level is not None and look.band_level > max(
            self._camera.seam_level, SEAM_TIMES * compared.band_level
        ):
            self._seam_end_mm = end_mm
            return f"seam: a band across the fabric differs by {look.band_level:.0f} grey levels"
        if self._seam_end_mm is not None and start_mm < self._seam_end_mm + self._camera.seam_clear_mm:
            return f"seam: within {self._camera.seam_clear_mm:g} mm behind it"
        return ""

    def _judge_focus(self, compared: Compared) -> str:
        if compared.sharpness is None or compared.sharpness >= self._camera.min_sharpness:
            return ""
        return f"blurred: {compared.sharpness:.0%} of the sharpness of this camera's reference"

    def _warnings(
        self, look: Look, compared: Compared, *, left_px: int, width_px: int, length_mm: float
    ) -> tuple[str, ...]:
        if compared.new_fabric:
            self._lens.reset()
        dirty = self._lens.look(look.columns, left_px=left_px, width_px=width_px, length_mm=length_mm)
        return (*compared.drift, dirty) if dirty else compared.drift
