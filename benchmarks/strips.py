"""How well a run over real strips went: `python -m benchmarks.strips DATA_DIR FRAMES`.

DATA_DIR is that of `loomwatch demo --source ...`. FRAMES holds STYLE/mask/NAME_mask*.png for each strip with a defect;
a strip that ran and has no mask counts as defect-free. Printed: of the strips with a defect, how many have a stored
defect that overlaps their mask; and the false defects of each defect-free strip.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from sqlalchemy import select

from inspection.pictures import read_picture
from inspection.settings import StoreSettings, load
from storage.database import open_database
from storage.masks import decode_mask
from storage.tables import FragmentRow, FrameRow


def main(data_dir: Path, frames: Path) -> None:
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(frames.glob("*/mask/*_mask*.png")):
        masks[path.stem.rpartition("_mask")[0]].append(path)
    store = load(StoreSettings, data_dir=data_dir, database_url="")
    with open_database(store.database) as database, database.reading() as session:
        ran = session.execute(select(FrameRow.id, FrameRow.origin).order_by(FrameRow.id)).all()
        found = defaultdict(list)
        for defect in session.scalars(select(FragmentRow)):
            found[defect.frame_id].append(defect)
    missed, false = [], {}
    for frame_id, origin in ran:
        name = Path(origin).stem
        if name not in masks:
            false[name] = len(found[frame_id])
        elif not any(overlaps(defect, masks[name]) for defect in found[frame_id]):
            missed.append(name)
    defective = len(ran) - len(false)
    print(f"with a defect: {defective - len(missed)} of {defective} found; missed: {', '.join(missed) or 'none'}")
    most = max(false.values(), default=0)
    print(f"defect-free: {len(false)} strips, {sum(false.values())} false defects, at most {most} in one")


def overlaps(defect: FragmentRow, masks: list[Path]) -> bool:
    """Whether any pixel of the defect lies in one of the masks, which cover the whole frame."""
    mask = decode_mask(defect.mask)
    place = np.s_[defect.y0_px : defect.y1_px, defect.x0_px : defect.x1_px]
    for path in masks:
        truth = read_picture(path)
        truth = truth if truth.ndim == 2 else truth.max(axis=2)
        part = truth[place] > 0
        if (part & mask[: part.shape[0], : part.shape[1]]).any():
            return True
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
