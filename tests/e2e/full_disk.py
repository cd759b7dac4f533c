"""Run inside a mount namespace in which FOLDER/disk is a small tmpfs with the database on it (SQLite follows links, so
that it cannot be looked at from outside): fills it in the middle of a run, and ends with 0 when nothing was lost."""

import sys
from pathlib import Path

from storage.database import upgrade
from tests.e2e.plant import Plant, camera
from tests.e2e.surroundings import fill
from tests.waiting import wait_for


def main(folder: Path) -> None:
    disk = folder / "disk"
    url = f"sqlite:///{disk / 'line.db'}"
    upgrade(url)
    with Plant(folder, url) as plant:
        plant.worker("worker", ms=20, LOOMWATCH_PICTURES_URL=str(disk / "pictures"))
        plant.ingest(camera(frames=60))
        plant.wait_until_stored(5)
        filler = fill(disk)
        wait_for(lambda: "cannot store" in plant.log("worker"))
        filler.unlink()
        plant.wait_until_done()
        plant.check()
        assert plant.gap_reasons() == set()
        assert plant.supervisor.restarts() == {"worker": 0, "ingest": 0}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
