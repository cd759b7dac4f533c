"""What all cameras behind a driver have in common: frames that come when they come, put in their place by a `Track`."""

from ingest.encoder import Encoder
from ingest.pixel_formats import PixelFormat, pixel_format
from ingest.shots import Source
from ingest.track import Track
from inspection.errors import ImageError, SourceError
from inspection.settings import CameraSettings


class LiveSource(Source):
    """A camera that cannot wait."""

    live = True

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__()
        self._camera = camera
        encoder = None
        if camera.encoder_mm_per_tick:
            encoder = Encoder(
                mm_per_tick=camera.encoder_mm_per_tick,
                bits=camera.encoder_bits,
                max_speed_m_min=camera.max_speed_m_min,
            )
        self._track = Track(mm_per_px=camera.mm_per_px, encoder=encoder, mm_per_tick=camera.encoder_mm_per_tick)

    def _require_counter(self, *, possible: bool) -> None:
        """Raises `SourceError` when an encoder is set that this camera cannot tell of."""
        if self._camera.encoder_mm_per_tick and not possible:
            raise SourceError(
                f"camera {self._camera.name}: encoder_mm_per_tick is set, but the camera gives no chunk data: set "
                "chunks = true, or encoder_mm_per_tick = 0 to count lines"
            )


def check_pixel_format(name: str, *, camera: str) -> PixelFormat:
    """Raises `SourceError` for a format that cannot be converted."""
    try:
        return pixel_format(name)
    except ImageError as error:
        raise SourceError(f"camera {camera}: {error} (under features)") from error
