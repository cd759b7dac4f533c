"""What a training learns from: all accepted samples, each under its style, or those of a frozen set.

Nothing unreviewed is among them (`storage.sample_guard`). A set that cannot give a good model is refused before
anything is computed: a style of the running model must not be forgotten, too few tiles show nothing, mixed scales
mislead.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from cras_core.features import NormalSample
from cras_core.pictures import Pixels, decode_picture
from inspection.errors import StorageError
from storage.pictures import PictureStore
from storage.sample_sets import SetItem, read_item
from storage.samples import PNG_HEADER, Sample, picture_size

MIN_TILES = 8  # a style with fewer says nothing about its own variation
SCALE_TOLERANCE = 0.01  # as for frames


def check_samples(
    samples: Sequence[Sample],
    pictures: PictureStore,
    *,
    styles: Collection[str],
    tile_px: int,
    mm_per_px: float,
    held: Mapping[str, int] | None = None,
) -> None:
    """Raises `StorageError` unless each style, those of `styles` included, has enough samples of the right scale.

    `styles`: what the running model knows; held: of each style, samples that wait for a second look. Reads each
    picture's header only.
    """
    held = held or {}
    if not samples and not styles:
        waiting = ", ".join(f"{number} of {style}" for style, number in held.items())
        raise StorageError(
            "there are no samples of normal fabric: add some first (loomwatch samples add FOLDER)"
            + (f", or look at those held: {waiting}" if waiting else "")
        )
    by_style: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_style[sample.style].append(sample)
    for style in sorted({*by_style, *styles}):
        if not by_style[style]:
            raise StorageError(
                f"style {style}, which the running model knows, has no samples and would be forgotten: "
                f"add normal fabric of it (loomwatch samples add FOLDER){_held(style, held)}"
            )
        for sample in by_style[style]:
            if abs(sample.mm_per_px - mm_per_px) > SCALE_TOLERANCE * mm_per_px:
                raise StorageError(
                    f"style {style} has a sample at {sample.mm_per_px:g} mm/px, the model sees {mm_per_px:g} mm/px: "
                    f"give all samples at one scale ({sample.picture})"
                )
        found = sum(count_tiles(sample, pictures, tile_px=tile_px) for sample in by_style[style])
        if found < MIN_TILES:
            raise StorageError(
                f"style {style} has samples for {found} tiles of {tile_px} px, {MIN_TILES} at least are needed, "
                f"100 are good: add normal fabric of it (loomwatch samples add FOLDER){_held(style, held)}"
            )


def _held(style: str, held: Mapping[str, int]) -> str:
    return f", or look at the {held[style]} that are held" if held.get(style) else ""


def count_tiles(sample: Sample, pictures: PictureStore, *, tile_px: int) -> int:
    """How many tiles side by side a sample gives. Raises `StorageError` when it is smaller than one."""
    height, width = picture_size(pictures.head(sample.picture, PNG_HEADER), f"sample {sample.picture}")
    if min(height, width) < tile_px:
        raise StorageError(
            f"sample {sample.picture} of style {sample.style} is {width} x {height} px, smaller than a tile of "
            f"{tile_px} px: take it out, or train with smaller tiles"
        )
    return -(-height // tile_px) * -(-width // tile_px)


def frozen_samples(items: Sequence[SetItem], pictures: PictureStore) -> list[NormalSample]:
    """Those of a set, as the method takes them; reading one that is not the same any more raises `StorageError`."""
    return [_frozen(item, pictures) for item in items]


def _frozen(item: SetItem, pictures: PictureStore) -> NormalSample:
    def read() -> Pixels:
        return decode_picture(read_item(item, pictures), name=item.picture)

    return NormalSample(style=item.style, group=item.group, name=item.picture, read=read, fit="cut")


def normal_samples(samples: Sequence[Sample], pictures: PictureStore) -> list[NormalSample]:
    """As the method takes them; each picture is read when its turn comes."""
    return [_normal(sample, pictures) for sample in samples]


def _normal(sample: Sample, pictures: PictureStore) -> NormalSample:
    def read() -> Pixels:
        return decode_picture(pictures.get(sample.picture), name=sample.picture)

    return NormalSample(style=sample.style, group=sample.roll_group, name=sample.picture, read=read, fit="cut")


def sample_counts(samples: Sequence[Sample | SetItem]) -> dict[str, dict[str, int]]:
    """style -> source -> number, for a model's provenance."""
    counts: dict[str, dict[str, int]] = {}
    for (style, source), number in sorted(Counter((sample.style, sample.source) for sample in samples).items()):
        counts.setdefault(style, {})[source] = number
    return counts
