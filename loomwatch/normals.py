"""Pictures of normal fabric into the sample store."""

from pathlib import Path

import cv2

from ingest.edges import find_edges
from inspection.errors import ImageError
from inspection.pictures import read_picture
from inspection.types import Pixels
from storage.database import Database
from storage.pictures import PictureStore
from storage.samples import add_sample


def add_picture(
    database: Database,
    pictures: PictureStore,
    path: Path,
    *,
    style: str,
    roll_group: str,
    mm_per_px: float,
    by: str,
) -> None:
    """One picture file, whole. Raises `ImageError`."""
    add_pixels(database, pictures, read_picture(path), style=style, roll_group=roll_group, mm_per_px=mm_per_px, by=by)


def add_frame(
    database: Database,
    pictures: PictureStore,
    pixels: Pixels,
    *,
    name: str,
    style: str,
    roll_group: str,
    mm_per_px: float,
    tile_px: int,
    by: str,
) -> None:
    """The fabric of one camera frame. Raises `ImageError` when there is none, or less than a tile."""
    edges = find_edges(pixels)
    if edges is None:
        raise ImageError(f"{name}: no fabric found: remove the frame from the normal ones")
    fabric = pixels[:, edges[0] : edges[1]]
    if min(fabric.shape[:2]) < tile_px:
        raise ImageError(
            f"{name}: the fabric is {fabric.shape[1]} x {fabric.shape[0]} px, smaller than a tile of {tile_px} px: "
            "use a smaller tile or larger frames"
        )
    add_pixels(database, pictures, fabric, style=style, roll_group=roll_group, mm_per_px=mm_per_px, by=by)


def add_pixels(
    database: Database,
    pictures: PictureStore,
    pixels: Pixels,
    *,
    style: str,
    roll_group: str,
    mm_per_px: float,
    by: str,
) -> None:
    """(H, W) grey or (H, W, 3) RGB, kept as PNG."""
    order = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, png = cv2.imencode(".png", order, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ImageError(f"cannot encode a picture of {pixels.shape} as PNG")
    add_sample(
        database,
        pictures,
        style=style,
        png=png.tobytes(),
        source="golden",
        roll_group=roll_group,
        mm_per_px=mm_per_px,
        by=by,
    )
