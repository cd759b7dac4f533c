"""The bench's viewers before the real dashboard: they see what a browser would."""

import pytest
from sqlalchemy import func, select

from dashboard.signed_in import cookie_name
from inspection.errors import ServiceError
from inspection.settings import DashboardSettings, StoreSettings, load
from loomwatch.bench_viewers import Viewer
from storage.database import open_database
from storage.tables import ReviewRow
from tests.e2e.browser import serve, session_of
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e


def test_viewers_see_pages_renew_themselves_and_reviewers_decide(seeded_line: StoreSettings) -> None:
    with open_database(seeded_line.database) as database, serve(seeded_line.data_dir) as address:
        name = cookie_name(load(DashboardSettings, port=int(address.rpartition(":")[2])))

        def decided() -> int:
            with database.reading() as session:
                return session.scalar(select(func.count()).select_from(ReviewRow)) or 0

        before = decided()
        with (
            Viewer(address, cookie=f"{name}={session_of('viewer')}") as wall,
            Viewer(
                address,
                cookie=f"{name}={session_of('operator')}",
                page="review",
                act="Confirm defect",
                act_every_s=1.5,
            ) as reviewer,
        ):
            wait_for(lambda: wall.runs >= 9)  # the page, and twice each of its parts
            wait_for(lambda: decided() >= before + 2)
            assert reviewer.acts >= 2
            assert reviewer.pictures >= 3  # crop, heat and outline
            assert not wall.problem + reviewer.problem

        with pytest.raises(ServiceError, match="does not open"), Viewer(address, cookie=f"{name}=nobody's"):
            pass
