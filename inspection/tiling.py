"""Tile geometry: a sliding window over the fabric, last tile flush with the edge, and back. Pure functions.

`stitch(cut(x)) == x` for every geometry: overlaps are blended with weights that sum to one.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inspection.errors import ImageError, SettingsError
from inspection.types import Frame, Pixels, Scores, TiledFrame


def spans(length_px: int, *, tile_px: int, overlap_px: int) -> list[int]:
    """Starts of the windows that cover [0, length_px), the last one flush with the end.

    Raises `SettingsError` for an impossible tile or overlap, `ImageError` when the length is smaller than a tile.
    """
    if tile_px < 1:
        raise SettingsError(f"tile size must be at least 1 px, got {tile_px}")
    if not 0 <= overlap_px < tile_px:
        raise SettingsError(f"overlap must be in [0, {tile_px}), got {overlap_px}")
    if length_px < tile_px:
        raise ImageError(f"{length_px} px is smaller than a tile of {tile_px} px: use a smaller tile or a larger frame")
    starts = list(range(0, length_px - tile_px + 1, tile_px - overlap_px))
    if starts[-1] + tile_px < length_px:
        starts.append(length_px - tile_px)
    return starts


def tile_origins(height_px: int, width_px: int, *, tile_px: int, overlap_px: int) -> list[tuple[int, int]]:
    """(row, column) of each tile's top left corner in an image of the given size, row by row."""
    rows = spans(height_px, tile_px=tile_px, overlap_px=overlap_px)
    columns = spans(width_px, tile_px=tile_px, overlap_px=overlap_px)
    return [(row, column) for row in rows for column in columns]


def _new_room(shape: tuple[int, ...]) -> Pixels:
    return np.empty(shape, np.uint8)


Room = Callable[[tuple[int, ...]], Pixels]  # an array of a shape, of any content


def cut_image(image: Pixels, *, tile_px: int, overlap_px: int, room: Room = _new_room) -> Pixels:
    """(H, W) or (H, W, 3) -> (N, tile_px, tile_px, C), in the order of `tile_origins`. room: gives what is filled."""
    if image.ndim == 2:
        image = image[:, :, None]
    origins = tile_origins(image.shape[0], image.shape[1], tile_px=tile_px, overlap_px=overlap_px)
    tiles = room((len(origins), tile_px, tile_px, image.shape[2]))
    for tile, (row, column) in zip(tiles, origins, strict=True):
        tile[...] = image[row : row + tile_px, column : column + tile_px]
    return tiles


def cut(frame: Frame, *, tile_px: int, overlap_px: int, room: Room = _new_room) -> TiledFrame:
    """Cuts the fabric between the frame's edges. room: as for `cut_image`. Raises `ImageError` when the fabric is
    smaller than a tile."""
    header = frame.header
    fabric = frame.pixels[:, header.fabric_left_px : header.fabric_right_px]
    tiles = cut_image(fabric, tile_px=tile_px, overlap_px=overlap_px, room=room)
    return TiledFrame(header=header, tile_px=tile_px, overlap_px=overlap_px, tiles=tiles)


def origins_of(tiled: TiledFrame) -> list[tuple[int, int]]:
    """(row, column) of each tile's top left corner in the frame, in camera pixels."""
    header = tiled.header
    left, right = header.fabric_left_px, header.fabric_right_px
    fabric = tile_origins(header.height_px, right - left, tile_px=tiled.tile_px, overlap_px=tiled.overlap_px)
    return [(row, left + column) for row, column in fabric]


def _ramp(start: int, before: int | None, after: int | None, tile_px: int) -> NDArray[np.float64]:
    """Weights along one window: rising over the overlap with the window before, falling over the one with the next."""
    weights = np.ones(tile_px)
    if before is not None and (shared := before + tile_px - start) > 0:
        weights[:shared] = (np.arange(shared) + 0.5) / shared
    if after is not None and (shared := start + tile_px - after) > 0:
        weights[tile_px - shared :] = np.minimum(weights[tile_px - shared :], (np.arange(shared)[::-1] + 0.5) / shared)
    return weights


def _weights(starts: list[int], tile_px: int) -> list[NDArray[np.float64]]:
    ends: list[int | None] = [None, *starts, None]
    return [_ramp(start, ends[i], ends[i + 2], tile_px) for i, start in enumerate(starts)]


def stitch(tiles: Scores | Pixels, height_px: int, width_px: int, *, overlap_px: int) -> NDArray[np.float32]:
    """(N, T, T) or (N, T, T, C), tile order -> (height_px, width_px[, C]) float32, overlaps blended linearly.

    Raises `ImageError` when the number of tiles does not fit the geometry.
    """
    tile_px = tiles.shape[1]
    rows = spans(height_px, tile_px=tile_px, overlap_px=overlap_px)
    columns = spans(width_px, tile_px=tile_px, overlap_px=overlap_px)
    if len(tiles) != len(rows) * len(columns):
        raise ImageError(f"{width_px} x {height_px} px takes {len(rows) * len(columns)} tiles, got {len(tiles)}")
    out = np.zeros((height_px, width_px, *tiles.shape[3:]), np.float32)
    across = _shares(columns, width_px, tile_px)
    index = 0
    for row, by_row in zip(rows, _shares(rows, height_px, tile_px), strict=True):
        for column, by_column in zip(columns, across, strict=True):
            area = out[row : row + tile_px, column : column + tile_px]
            if by_row is None and by_column is None:  # most tiles: nobody else knows anything of these pixels
                area[...] = tiles[index]
            else:
                down = np.ones((tile_px, 1)) if by_row is None else by_row[:, None]
                share = (down if by_column is None else down * by_column).astype(np.float32)
                area += tiles[index] * (share if tiles.ndim == 3 else share[:, :, None])
            index += 1
    return out


def _shares(starts: list[int], length_px: int, tile_px: int) -> list[NDArray[np.float64] | None]:
    """Each window's weights over the sum of all windows' there; None for one that overlaps no other."""
    weights = _weights(starts, tile_px)
    total = np.zeros(length_px)
    windows = np.zeros(length_px, np.int64)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + tile_px] += weight
        windows[start : start + tile_px] += 1
    shares = [weight / total[start : start + tile_px] for start, weight in zip(starts, weights, strict=True)]
    alone = [windows[start : start + tile_px].max() == 1 for start in starts]
    return [None if single else share for share, single in zip(shares, alone, strict=True)]


def join(tiled: TiledFrame, *, every_row: int = 1) -> Pixels:
    """The fabric back from its tiles, exactly: (H, fabric width, C) uint8; or only its rows 0, `every_row`, ..."""
    header, tile_px = tiled.header, tiled.tile_px
    left, width = header.fabric_left_px, header.fabric_right_px - header.fabric_left_px
    out = np.empty((-(-header.height_px // every_row), width, tiled.tiles.shape[3]), np.uint8)
    for tile, (row, column) in zip(tiled.tiles, origins_of(tiled), strict=True):
        part = tile[-row % every_row :: every_row]
        first = -(-row // every_row)
        out[first : first + len(part), column - left : column - left + tile_px] = part
    return out
