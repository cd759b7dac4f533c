"""The roles, each with all that those before it may do.

viewer sees; operator reviews defects, acknowledges alarms, opens and closes rolls; quality curates samples, retrains,
promotes, rolls back, sets sensitivity; admin manages people and the plant.
"""

from typing import Literal, TypeAlias

from inspection.errors import LoomwatchError, SettingsError

Role: TypeAlias = Literal["viewer", "operator", "quality", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "quality", "admin")


class NotAllowed(LoomwatchError):
    """Somebody's role does not reach for what they asked for; nothing was done."""


def reaches(role: Role, least: Role) -> bool:
    """Whether `role` may do what `least` may."""
    return ROLES.index(role) >= ROLES.index(least)


def parse_role(text: str) -> Role:
    """Raises `SettingsError`."""
    for role in ROLES:
        if role == text:
            return role
    raise SettingsError(f"role: must be one of {', '.join(ROLES)}, got {text!r}")
