"""How something was changed, of the audit trail: its JSON in words, each setting by its name with its value before and
after."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from dashboard import model_words, shell, words
from dashboard.language import _, figure
from dashboard.stored_sentences import told
from dashboard.stored_words import said
from dashboard.training_schedules import DAY_WORDS
from dashboard.units import units
from inspection.language import LANGUAGES, N_

MOST_CHARS, MOST_VALUE_CHARS = 400, 120
NOTHING = "–"
# Where a list of two is what a setting was and is, and which field "previous" is the former value of
PAIRED = ("alarm_rule.set", "alarm_sink.set", "roll.set", "user.role")
MAIN = {
    "defect.name": "code",
    "defect.review": "state",
    "defect.severity": "severity",
    "line.coverage": "limit",
    "sample.decide": "state",
    "sample.move": "style",
    "style.sensitivity": "factor",
}
TOLD = {"alarm.acknowledge": ("text", "line", "note")}  # the others of it stand in the alarm's own record
FIELDS = {
    # Who and what
    "against": N_("against"),
    "by": N_("by"),
    "camera": N_("camera"),
    "device": N_("computed on"),
    "from": N_("instead of"),
    "gate": N_("gate of"),
    "how": N_("by way of"),
    "into": N_("into"),
    "kind": N_("kind"),
    "language": N_("language"),
    "line": N_("line"),
    "model": N_("model"),
    "name": N_("name"),
    "note": N_("note"),
    "of": N_("of"),
    "origin": N_("account of"),
    "override": N_("in spite of"),
    "parameters": N_("settings of the training"),
    "previous": N_("before"),
    "provisional": N_("without a training"),
    "purpose": N_("for"),
    "reason": N_("reason"),
    "remark": N_("remark"),
    "role": N_("role"),
    "roll_group": N_("kept together as"),
    "rule": N_("rule"),
    "sha256": N_("checksum"),
    "source": N_("comes from"),
    "state": N_("state"),
    "style": N_("style"),
    "text": N_("alarm"),
    "units": N_("units"),
    "verdict": N_("verdict"),
    "version": N_("version"),
    "why": N_("why"),
    # Rolls
    "at": N_("at"),
    "closed_at": N_("closed at"),
    "construction": N_("construction"),
    "customer": N_("customer"),
    "dye_lot": N_("dye lot"),
    "loom": N_("loom"),
    "lot": N_("lot"),
    "opened_at": N_("opened at"),
    "operator": N_("operator of the loom"),
    "parent_roll": N_("cut from roll"),
    "po": N_("purchase order"),
    "profile": N_("grading profile"),
    "profile_version": N_("version of the profile"),
    "re_inspection_of": N_("inspected again, first as"),
    "remarks": N_("remarks"),
    "ticketed_mm": N_("length on the ticket"),
    "width_end_mm": N_("width at the end"),
    "width_mid_mm": N_("width in the middle"),
    "width_start_mm": N_("width at the start"),
    # Defects, samples, sensitivity
    "code": N_("defect's name"),
    "factor": N_("limit multiplied by"),
    "limit": N_("least coverage"),
    "metres": N_("metres"),
    "severity": N_("severity"),
    # The line and its machine
    "courses_per_cm": N_("courses per cm"),
    "diameter_mm": N_("diameter"),
    "feeders": N_("feeders"),
    "frame_lines": N_("lines of a frame"),
    "mm_per_px": N_("millimetres of a pixel"),
    "repeat_mm": N_("repeat"),
    "runs": N_("camera runs here"),
    "tile_px": N_("side of a tile in px"),
    "values": N_("measures"),
    # Models and schedules
    "agreement": N_("least share of the same alarms"),
    "budget": N_("share of a worker's time"),
    "confidence": N_("confidence"),
    "count": N_("samples"),
    "day": N_("day"),
    "drop": N_("defects that may be lost"),
    "failed": N_("failed"),
    "promotion": N_("promotion"),
    "quiet_from": N_("quiet from"),
    "quiet_to": N_("quiet until"),
    "rules": N_("rules"),
    "shadow": N_("shadow"),
    "share": N_("share of the frames"),
    "slower": N_("slower by at most"),
    # Alarm rules
    "after_s": N_("holds for at least"),
    "clear_above": N_("over above"),
    "clear_at": N_("over at"),
    "clear_m": N_("over after"),
    "clear_s": N_("over when heard within"),
    "enabled": N_("in force"),
    "escalate_priority": N_("priority when escalated"),
    "escalate_s": N_("escalated after"),
    "forget_s": N_("out of service after"),
    "geometries": N_("forms"),
    "measure": N_("measure"),
    "min_hits": N_("repeats at least"),
    "min_size_mm": N_("size at least"),
    "min_strength": N_("strength at least"),
    "min_workers": N_("workers at least"),
    "not_inspectable": N_("cloth that cannot be inspected counts"),
    "over_m": N_("over the last"),
    "priority": N_("priority"),
    "raise_at": N_("raised at"),
    "raise_below": N_("raised below"),
    "raise_m": N_("raised from a length of"),
    "raise_s": N_("raised after"),
    "rate_limit_s": N_("between two notices at least"),
    "severities": N_("severities"),
    "sinks": N_("alarm sinks"),
    # Alarm sinks
    "allow_plain": N_("without encryption, too"),
    "ca_file": N_("certificate authority"),
    "certificate_file": N_("certificate"),
    "client_id": N_("name of the client"),
    "clients_dir": N_("certificates of clients"),
    "coil": N_("coil"),
    "endpoint": N_("address"),
    "events": N_("notices of"),
    "host": N_("host"),
    "key_file": N_("file of the key"),
    "life_coil": N_("coil of the sign of life"),
    "lines": N_("lines"),
    "max_age_s": N_("given up after"),
    "max_waiting": N_("notices that may wait"),
    "min_priority": N_("priority at least"),
    "on": N_("on while alarms are"),
    "password_file": N_("file of the password"),
    "port": N_("port"),
    "refresh_s": N_("written every"),
    "secret_file": N_("file of the secret"),
    "timeout_s": N_("waits for an answer"),
    "tls": N_("encrypted"),
    "topic": N_("topic"),
    "unit": N_("unit"),
    "url": N_("address"),
    "username": N_("user name"),
    # Grading profiles
    "bands_mm": N_("largest sizes by points"),
    "cap_per_unit": N_("most points of a unit"),
    "cap_reference_width_mm": N_("width that most points hold for"),
    "cap_width": N_("most points by width"),
    "counted": N_("severities that count"),
    "critical_points": N_("points of a critical defect"),
    "critical_strength": N_("critical from a strength of"),
    "cut": N_("cutting"),
    "cut_out_running": N_("running defects are cut out"),
    "description": N_("description"),
    "edge_ignore_mm": N_("left out at the edges"),
    "end_ignore_mm": N_("left out at the ends"),
    "full_width_points": N_("points over the full width"),
    "grade": N_("grade"),
    "grades": N_("grades"),
    "hole_limit_mm": N_("size of a small hole"),
    "hole_points": N_("points of a hole"),
    "hole_rule": N_("which holes count as holes"),
    "limits_per": N_("points refer to"),
    "max_points": N_("points at most"),
    "min_coverage": N_("least coverage"),
    "min_piece_mm": N_("shortest piece"),
    "min_width_mm": N_("least width"),
    "minor_max_mm": N_("minor up to a size of"),
    "minor_max_strength": N_("minor up to a strength of"),
    "narrow_points": N_("points of narrow cloth"),
    "outcome": N_("what becomes of the roll"),
    "over_limits": N_("over the limits"),
    "per_unit_codes": N_("names with points for each unit"),
    "per_unit_points": N_("points for each unit"),
    "pinhole_mm": N_("size of a pinhole"),
    "reject_full_width": N_("defects over the full width at most"),
    "reject_running_mm": N_("running defects of at most"),
    "rejected": N_("rejected"),
    "remnant_value": N_("value of a remnant"),
    "running": N_("running defects count when a unit is"),
    "shipment_max": N_("points of a shipment at most"),
    "split": N_("defects on a unit's border"),
    "system": N_("system"),
    "tubular": N_("tubular cloth"),
    "value": N_("value"),
    "warp_bands_mm": N_("largest sizes along the warp by points"),
    "weft_bands_mm": N_("largest sizes along the weft by points"),
}
SHARES = (
    "agreement", "budget", "clear_above", "confidence", "drop", "limit", "min_coverage", "raise_below", "share",
    "slower",
)  # fmt: skip
SENTENCES = ("failed", "override", "text", "why")
CHOICES = (  # fields whose values are words of the program, and nothing that people wrote
    "cap_width", "counted", "day", "escalate_priority", "events", "hole_rule", "how", "kind", "measure",
    "min_priority", "on", "origin", "outcome", "priority", "promotion", "purpose", "raise_at", "role", "running",
    "severities", "severity", "split", "state", "system", "unit", "units", "verdict",
)  # fmt: skip
VALUES = {
    # Kinds of rules, parts and schedules
    "camera_down": N_("silent camera"),
    "coverage": N_("coverage"),
    "drift": N_("drift"),
    "false_alarms": N_("false alarms"),
    "nightly": N_("every night"),
    "parity": N_("same decisions of all runtimes"),
    "periodic": N_("repeating defects"),
    "rate": N_("many defects"),
    "recall": N_("defects found"),
    "roller": N_("roller"),
    "running": N_("running defect"),
    "samples": N_("after new samples"),
    "screen": N_("printing screen"),
    "severe_defect": N_("severe defect"),
    "speed": N_("speed"),
    "style": N_("on a new style"),
    "styles": N_("each style"),
    "weekly": N_("every week"),
    "worker_down": N_("too few workers"),
    **DAY_WORDS,
    # States and verdicts
    "accepted": N_("learned"),
    "held": N_("held"),
    "refused": N_("refused"),
    "waits": N_("waits for the guard"),
    "taken out": N_("taken out"),
    "passed": N_("passed"),
    "failed": N_("failed"),
    # Promotion, accounts
    "company": N_("company"),
    "demo": N_("trying out"),
    "first-admin": N_("first admin"),
    "gate": N_("by the gate"),
    "imperial": N_("imperial"),
    "link": N_("one-time link"),
    "local": N_("loomwatch"),
    "metric": N_("metric"),
    "password": N_("password"),
    "shadow": N_("after a shadow run"),
    "staff": N_("by staff"),
    # Alarms
    "raised": N_("beginning"),
    "recurred": N_("coming back"),
    "escalated": N_("escalation"),
    "acknowledged": N_("acknowledgement"),
    "cleared": N_("end"),
    "points": N_("points"),
    "defects": N_("defects"),
    "unacknowledged": N_("not acknowledged"),
    "active": N_("active"),
    "open": N_("open"),
    # Grading
    "all": N_("all"),
    "all_but_pinholes": N_("all but pinholes"),
    "by_size": N_("by size"),
    "cut_and_upgrade": N_("cut out and first quality"),
    "downgrade": N_("lower grade"),
    "exceeds": N_("exceeded"),
    "touched": N_("touched"),
    "first": N_("first quality"),
    "four_point": N_("four-point"),
    "literal": N_("in both units"),
    "midpoint": N_("where their middle is"),
    "plain": N_("the same"),
    "proportional": N_("in proportion"),
    "ten_point": N_("ten-point"),
}


def change_in_words(action: str, detail: Mapping[str, Any]) -> str:
    """At most `MOST_CHARS` characters. What people wrote stands as they wrote it: it is text, for a cell of a table."""
    return _clipped(words.sentence("; ".join(_changes(action, detail))), MOST_CHARS)


def _changes(action: str, detail: Mapping[str, Any]) -> Iterator[str]:
    shown = {name: detail[name] for name in TOLD.get(action, detail) if name in detail}
    pairs: dict[str, Any] = dict(shown.pop("changed", None) or {})
    if {"before", "after"} <= shown.keys():
        before, after = shown.pop("before"), shown.pop("after")
        pairs |= {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}
    if action in PAIRED:
        pairs |= {name: shown.pop(name) for name, value in detail.items() if isinstance(value, list)}
    main = MAIN.get(action)
    if main in shown and "previous" in shown:
        pairs[main] = [shown.pop("previous"), shown.pop(main)]
    if any(former is not None for former, _now in pairs.values()):
        for name, (former, now) in pairs.items():
            yield f"{_field(name)}: {_value(name, former)} → {_value(name, now)}"
    else:  # it is new
        shown |= {name: now for name, (_former, now) in pairs.items()}
    for name, value in shown.items():
        if not _is_nothing(value):
            yield f"{_field(name)}: {_value(name, value)}"


def _field(name: str) -> str:
    """One that is not known, as of a method's settings, by its own name."""
    return _(FIELDS[name]) if name in FIELDS else name.replace("_", " ")


def _value(name: str, value: Any) -> str:
    if _is_nothing(value):
        return NOTHING
    if isinstance(value, dict):
        kind = f"{_word('kind', str(value['kind']))} " if "kind" in value else ""
        rest = [f"{_field(each)} {_value(each, of)}" for each, of in value.items() if each != "kind"]
        return f"{kind}({', '.join(rest)})" if rest else kind.strip()
    if isinstance(value, list):
        return _clipped(", ".join(_value(name, each) for each in value), MOST_VALUE_CHARS)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int | float):
        return _number(name, value)
    return _clipped(_word(name, str(value)), MOST_VALUE_CHARS)


def _number(name: str, value: float) -> str:
    if name in SHARES:
        return f"{figure(100 * value, ',.6g')} %"
    along = name.endswith("_m") or name == "metres"
    if units().long != "m" and (along or name.endswith("_mm")):
        return words.metres(1000 * value) if along else words.millimetres(value)
    unit = " m" if along else next((f" {unit}" for unit in ("mm", "s") if name.endswith(f"_{unit}")), "")
    return figure(value, ",.6g") + unit


def _word(name: str, text: str) -> str:
    if name in SENTENCES:
        return told(text)
    if name in ("code", "per_unit_codes"):
        return words.code(text)
    if name == "geometries":
        return words.geometry(text)
    if name == "source":
        return model_words.source_in_words(text)
    if name == "sha256":
        return text[:12]
    if name == "language":
        return LANGUAGES.get(text, text)
    if name == "limits_per":
        return words.measure(text)
    if name == "state" and text in words.STATE_WORDS:
        return words.state(text)
    if name in CHOICES:
        return _(VALUES[text]) if text in VALUES else said(text)
    return _clock(text) if name == "at" or name.endswith("_at") else text


def _clock(text: str) -> str:
    """A moment by the viewer's clock; a time of the day stays."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return shell.clock(at) if at.tzinfo else text


def _is_nothing(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _clipped(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
