"""Picture files that somebody gives in the browser: bounded before anything is decoded, and kept as what was seen, not
as what was sent."""

import io

from PIL import Image

from inspection.errors import ImageError, StorageError
from inspection.pictures import decode_picture, picture_size
from storage.database import Database
from storage.pictures import PictureStore
from storage.samples import Sample, add_sample

MOST_FILES = 50
MOST_BYTES = 30 * 2**20
MOST_PIXELS = 64 * 10**6


def upload_sample(
    database: Database,
    pictures: PictureStore,
    *,
    data: bytes,
    name: str,
    style: str,
    mm_per_px: float,
    why: str,
    by: str,
) -> Sample:
    """One file. Its pixels are written anew as PNG, so that nothing else of the file is kept. Raises `StorageError`."""
    if len(data) > MOST_BYTES:
        raise StorageError(f"{name} has {len(data) / 2**20:.0f} MB, {MOST_BYTES // 2**20} at most are taken")
    size = picture_size(data)
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise StorageError(f"{name} is {size[1]} x {size[0]} px, too large for one sample: cut it into frames")
    try:
        pixels = decode_picture(data, name=name)
    except ImageError as error:
        raise StorageError(str(error)) from error
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return add_sample(
        database,
        pictures,
        style=style.strip(),
        png=out.getvalue(),
        source="upload",
        roll_group=f"upload {name}",
        mm_per_px=mm_per_px,
        by=by,
        why=why or f"uploaded as {name}",
    )
