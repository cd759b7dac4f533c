"""The profiles that come with the program, files in `profiles/`, put into a database that lacks them."""

from datetime import UTC, datetime
from importlib.resources import files

from sqlalchemy import Connection, insert, select

from storage.grading.profile import AnyProfile, dump_profile, parse_profile
from storage.tables import GradingProfileRow


def shipped_profiles() -> list[AnyProfile]:
    """In order of their names."""
    folder = files("storage.grading") / "profiles"
    found = [
        parse_profile(file.read_bytes(), source=file.name) for file in folder.iterdir() if file.name.endswith(".json")
    ]
    return sorted(found, key=lambda profile: profile.name)


def install_shipped(connection: Connection) -> None:
    """As version 1 by "loomwatch", where there is no profile of that name: what a mill has made its own stays so."""
    known = set(connection.scalars(select(GradingProfileRow.name)))
    for profile in shipped_profiles():
        if profile.name not in known:
            now = datetime.now(UTC)
            connection.execute(
                insert(GradingProfileRow).values(
                    name=profile.name, version=1, content=dump_profile(profile), by="loomwatch", created_at=now
                )
            )
