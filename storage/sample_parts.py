"""Parts of pictures that staff choose, where not all of a frame is normal cloth, and a part of a sample's picture as a
sample of its own."""

import io
from dataclasses import replace

from PIL import Image

from inspection.errors import ImageError, StorageError
from inspection.pictures import decode_picture
from inspection.types import Pixels
from storage import registry
from storage.database import Database
from storage.pictures import PictureStore
from storage.samples import Captured, Sample, add_sample, decide_samples, get_sample


def add_part(
    database: Database,
    pictures: PictureStore,
    sample_id: int,
    *,
    box_px: tuple[int, int, int, int],
    by: str,
    why: str = "",
) -> Sample:
    """box_px: left, right, top, bottom. It waits for the guard; the picture that it is of is refused, since whoever
    chooses a part does not mean the rest.

    Raises `StorageError` for an unknown sample, for a false alarm's, for a box that is not a part of the picture or is
    smaller than a tile of the running model, and for a picture that cannot be read.
    """
    whole = get_sample(database, sample_id)
    if whole.source == "review":
        raise StorageError(f"sample {sample_id} is a false alarm's: it is learned as a whole, or not at all")
    try:
        pixels = decode_picture(pictures.get(whole.picture), name=f"the picture of sample {sample_id}")
    except ImageError as error:
        raise StorageError(str(error)) from error
    height, width = pixels.shape[:2]
    if box_px == (0, width, 0, height):
        raise StorageError("a part is less than the whole picture, which is accepted or refused as it is")
    part = add_sample(
        database,
        pictures,
        style=whole.style,
        png=cut_part(database, pixels, box_px),
        source="part",
        roll_group=whole.roll_group,
        mm_per_px=whole.mm_per_px,
        by=by,
        why=why or f"a part of sample {sample_id}",
        captured=whole.captured and place_of_part(whole.captured, box_px, mm_per_px=whole.mm_per_px),
    )
    decide_samples(database, [sample_id], state="refused", by=by, reason=f"a part of it is sample {part.id}")
    return part


def cut_part(database: Database, pixels: Pixels, box_px: tuple[int, int, int, int]) -> bytes:
    """The part left, right, top, bottom of a picture (H, W[, 3]) as a PNG. Raises `StorageError` when it does not lie
    inside, or is smaller than a tile of the running model."""
    height, width = pixels.shape[:2]
    left, right, top, bottom = box_px
    if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
        raise StorageError(f"a part lies inside its picture of {width} x {height} px, got {box_px}")
    model = registry.running_model(database)
    least = model.manifest["tile_px"] if model is not None else 1
    if min(right - left, bottom - top) < least:
        raise StorageError(f"a part is at least a tile of {least} px, got {right - left} x {bottom - top} px")
    out = io.BytesIO()
    Image.fromarray(pixels[top:bottom, left:right]).save(out, "PNG", compress_level=1)
    return out.getvalue()


def place_of_part(at: Captured, box_px: tuple[int, int, int, int], *, mm_per_px: float) -> Captured:
    """Where a part of what was captured `at` a place lies."""
    left, right, top, bottom = box_px
    return replace(
        at,
        x0_mm=at.x0_mm + left * mm_per_px,
        x1_mm=at.x0_mm + right * mm_per_px,
        y0_mm=at.y0_mm + top * mm_per_px,
        y1_mm=at.y0_mm + bottom * mm_per_px,
    )
