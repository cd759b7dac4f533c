"""A part of a sample's picture, chosen by staff, as a sample of its own: where not all of a frame is normal cloth."""

import io
from dataclasses import replace

from PIL import Image

from inspection.errors import ImageError, StorageError
from inspection.pictures import decode_picture
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
    left, right, top, bottom = box_px
    if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
        raise StorageError(f"a part lies inside its picture of {width} x {height} px, got {box_px}")
    if box_px == (0, width, 0, height):
        raise StorageError("a part is less than the whole picture, which is accepted or refused as it is")
    model = registry.running_model(database)
    least = model.manifest["tile_px"] if model is not None else 1
    if min(right - left, bottom - top) < least:
        raise StorageError(f"a part is at least a tile of {least} px, got {right - left} x {bottom - top} px")
    out = io.BytesIO()
    Image.fromarray(pixels[top:bottom, left:right]).save(out, "PNG", compress_level=1)
    part = add_sample(
        database,
        pictures,
        style=whole.style,
        png=out.getvalue(),
        source="part",
        roll_group=whole.roll_group,
        mm_per_px=whole.mm_per_px,
        by=by,
        why=why or f"a part of sample {sample_id}",
        captured=_place(whole, left=left, right=right, top=top, bottom=bottom),
    )
    decide_samples(database, [sample_id], state="refused", by=by, reason=f"a part of it is sample {part.id}")
    return part


def _place(whole: Sample, *, left: int, right: int, top: int, bottom: int) -> Captured | None:
    at, scale = whole.captured, whole.mm_per_px
    return at and replace(
        at,
        x0_mm=at.x0_mm + left * scale,
        x1_mm=at.x0_mm + right * scale,
        y0_mm=at.y0_mm + top * scale,
        y1_mm=at.y0_mm + bottom * scale,
    )
