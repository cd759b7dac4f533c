"""The wall screen as one element: what it shows is put together once for everybody who reads the same words, and
`wall_screen/wall.js` changes in place what has changed. Whatever Streamlit is asked to draw costs for each that looks.
"""

import base64
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import streamlit as st

from dashboard import data, growing_map, shell, stored_words, words
from dashboard.language import _, figure, language
from dashboard.stored_words import said
from dashboard.theme import STATE_BADGES
from dashboard.units import units
from inspection.types import Roll
from storage.reads.cameras import CameraFigures
from storage.reads.defects import DefectItem
from storage.reads.gap_words import reason_in_words

FOLDER = Path(__file__).parent / "wall_screen"
SILENT_S = 10.0
STRIP_HEIGHT_PX = 460  # the map beneath it still fits on a wall screen
STRIP_WIDTHS_PX = {1: 860, 2: 420}  # one camera, two cameras; more share the same room
STRIP_ROOM_PX = 900
LATEST_DEFECTS = 4
WAYS = ("roll", "review")  # pages that it leads to

_html, _css, _js = ((FOLDER / f"wall.{kind}").read_text() for kind in ("html", "css", "js"))
# not apart from the page in a shadow of its own: the page's fonts hold, and whoever reads the page reads this too
WALL = st.components.v2.component("loomwatch.wall", html=_html, css=_css, js=_js, isolate_styles=False)


def show_wall(line: str) -> None:
    """In a part of a page that renews itself. A link on it opens in this window."""
    seen = f"{language()} {units().long} {data.zone()}"
    # by name: else Streamlit looks the names up in the signature each time
    shown = drawn(line=line, seen=seen, turn=int(time.time() / data.refresh_s()))
    wall = WALL(key=f"wall.{line}", data=shown, on_way_change=lambda: None)
    page, _mark, query = str(wall.way or "").partition("?")
    if page in WAYS:
        st.switch_page(f"views/{page}.py", query_params=parse_qsl(query))


@st.cache_data(ttl=10, max_entries=20, show_spinner=False)
def drawn(line: str, seen: str, turn: int) -> bytes:
    """JSON in UTF-8, as wall.js reads it. seen: the words, units and times of who looks; turn: changes as often as a
    screen renews itself."""
    cameras = of_line(line)
    roll = next((roll for roll in data.running_rolls() if roll.line == line), None)
    shown = {
        "badges": badges(line, cameras),
        "strips": [strip(camera, len(cameras)) for camera in cameras],
        "maps": growing_map.maps(roll, seen) if roll else [],
        "roll": name_of(roll),
        "way": way(_("Roll"), f"roll?roll={roll.id}") if roll else None,
        "figures": figures(line, roll),
        "latest": _("Latest defects"),
        "none": _("None found yet. Each one appears here as soon as it is stored."),
        "defects": [defect(item) for item in data.latest_defects(LATEST_DEFECTS, line)],
    }
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()


def badges(line: str, cameras: list[CameraFigures]) -> list[dict[str, str]]:
    """Whether everything that belongs to the line runs."""
    running = [camera for camera in cameras if not camera.ended]
    silent = ", ".join(camera.camera for camera in running if is_silent(camera))
    if silent:
        found = [badge(_("Silent: {names}", names=silent), "videocam_off", "orange")]
    elif running:
        found = [badge(_("Running"), "play_circle", "green")]
    else:
        found = [badge(_("Finished"), "flag", "gray")]
    if not any(alarm.line in ("", line) for alarm in data.open_alarms()):
        found.append(badge(_("No alarm is open"), "notifications_off", "green"))
    if data.live_view().problem:
        found.append(badge(_("Live pictures away"), "cloud_off", "orange"))
    if data.running_model() is None:
        found.append(badge(_("No model in charge: no cloth is inspected"), "model_training", "red"))
    return found


def strip(camera: CameraFigures, cameras: int) -> dict[str, Any]:
    """A camera's cloth as it runs. cameras: how many share the room."""
    width_px = STRIP_WIDTHS_PX.get(cameras, max(160, STRIP_ROOM_PX // cameras))
    picture = data.running_cloth(camera.line, camera.camera, width_px, STRIP_HEIGHT_PX, units(), language())
    warning = ""
    if is_silent(camera) and not camera.ended:
        warning = _("silent for {duration}", duration=words.duration(shell.seconds_since(camera.heard_at)))
    elif camera.gap_reason:
        warning = _("not inspected: {reason}", reason=said(reason_in_words(camera.gap_reason)))
    return {
        "picture": f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" if picture else "",
        "size": [width_px, STRIP_HEIGHT_PX],
        "says": _("Cloth of camera {camera}, suspicious places coloured", camera=camera.camera),
        "missing": _("No cloth to show at the moment. It appears with the next frame that is inspected."),
        "facts": f"{camera.camera} · {words.metres(camera.position_mm)}",
        "warning": warning,
    }


def figures(line: str, roll: Roll | None) -> list[dict[str, str]]:
    """Speed, and the running roll's length, coverage, points and defects."""
    live = [camera for camera in data.live_view().cameras.values() if camera.line == line]
    speed = words.speed(max(camera.speed_m_min for camera in live)) if live else "–"
    shown = [told(_("Speed"), speed)]
    if roll is None:
        return shown
    summary, grade = data.roll_summary(roll), data.roll_grade(roll)
    rate, measure = words.rate(grade.rate, grade.measure)
    return [
        *shown,
        told(_("Length"), words.metres(summary.length_mm)),
        told(_("Coverage"), words.percent(summary.coverage) if summary.captured_mm > 0 else "–"),
        told(_("Defects"), figure(summary.defects, ","), _("Found, without the false alarms")),
        told(_("Points so far"), figure(grade.points.total, "g")),
        told(_("Points per {measure}", measure=measure), rate, stored_words.sentence(grade.grade)),
    ]


def defect(item: DefectItem) -> dict[str, Any]:
    colour, symbol = STATE_BADGES[item.state]
    return {
        "picture": data.thumbnail(item) or "",
        "says": _("Defect {id}", id=item.id),
        "state": badge(words.state(item.state), symbol.removeprefix(":material/").removesuffix(":"), colour),
        "strength": words.strength(item.strength),
        "place": words.place(item),
        "seen": f"{item.camera}, {shell.clock(item.captured_at)}",
        "way": way(_("Look"), f"review?defect={item.id}&state=all"),
    }


def badge(text: str, icon: str, colour: str) -> dict[str, str]:
    return {"text": text, "icon": icon, "colour": colour}


def told(name: str, value: str, explained: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "explained": explained}


def way(label: str, to: str) -> dict[str, str]:
    """A link to another page of the dashboard. to: its path with its query."""
    return {"label": label, "to": to}


def of_line(line: str) -> list[CameraFigures]:
    """Its cameras, as they hang from left to right, by name where nobody knows."""
    return sorted((camera for camera in data.cameras() if camera.line == line), key=lambda camera: camera.camera)


def name_of(roll: Roll | None) -> str:
    if roll is None:
        return _("No roll is running")
    name = _("Cloth without a roll") if roll.automatic else _("Roll {name}", name=roll.name)
    return f"{name} · {roll.style}" if roll.style else name


def is_silent(camera: CameraFigures) -> bool:
    return shell.seconds_since(camera.heard_at) > SILENT_S
