"""What stands in the audit trail, in words: each act, the kinds that acts are of, and the things."""

import re

from dashboard import words
from dashboard.language import _
from inspection.language import N_

ACTS = {
    "alarm.acknowledge": N_("alarm acknowledged"),
    "alarm_rule.remove": N_("alarm rule removed"),
    "alarm_rule.set": N_("alarm rule set"),
    "alarm_sink.remove": N_("alarm sink removed"),
    "alarm_sink.set": N_("alarm sink set"),
    "defect.merge": N_("defects merged"),
    "defect.name": N_("defect named"),
    "defect.review": N_("defect reviewed"),
    "defect.severity": N_("severity of a defect set"),
    "defect.split": N_("defect split"),
    "defect.take_out": N_("confirmed defect taken out"),
    "line.camera": N_("camera set up"),
    "line.coverage": N_("least coverage of a line set"),
    "line.name": N_("line named"),
    "line.start": N_("line started"),
    "line.stop": N_("line stopped"),
    "line.style": N_("style to begin with named"),
    "machine.remove": N_("part of the machine removed"),
    "machine.set": N_("part of the machine entered"),
    "model.gate": N_("model judged by the gate"),
    "model.import": N_("model imported"),
    "model.policy": N_("policy of models changed"),
    "model.promote": N_("model promoted"),
    "model.rollback": N_("model rolled back"),
    "model.shadow": N_("shadow started"),
    "model.shadow_stop": N_("shadow stopped"),
    "profile.add": N_("grading profile added"),
    "profile.choose": N_("grading profile chosen"),
    "roll.clear": N_("suspended roll cleared"),
    "roll.close": N_("roll closed"),
    "roll.correct": N_("bounds of a roll corrected"),
    "roll.hold": N_("roll put on hold"),
    "roll.open": N_("roll opened"),
    "roll.release": N_("roll released from hold"),
    "roll.set": N_("papers of a roll filled in"),
    "roll.suspend": N_("roll suspended"),
    "sample.add": N_("sample given"),
    "sample.capture": N_("golden roll or frame asked for"),
    "sample.capture.stop": N_("golden roll stopped"),
    "sample.decide": N_("sample decided on"),
    "sample.hold": N_("sample held by the guard"),
    "sample.move": N_("sample moved to another style"),
    "schedule.add": N_("schedule added"),
    "schedule.change": N_("schedule changed"),
    "schedule.remove": N_("schedule removed"),
    "style.sensitivity": N_("sensitivity of a style set"),
    "training.cancel": N_("training cancelled"),
    "training.join": N_("training asked for that waited already"),
    "training.request": N_("training asked for"),
    "training.retry": N_("training tried again"),
    "user.add": N_("account added"),
    "user.disable": N_("account disabled"),
    "user.enable": N_("account enabled"),
    "user.link": N_("one-time link made"),
    "user.password": N_("password changed"),
    "user.preferences": N_("language and units chosen"),
    "user.role": N_("role changed"),
    "user.sign_in": N_("signed in"),
    "user.sign_out": N_("signed out"),
}
KINDS = {
    "alarm": N_("Alarms"),
    "alarm_rule": N_("Alarm rules"),
    "alarm_sink": N_("Alarm sinks"),
    "defect": N_("Defects"),
    "line": N_("Lines"),
    "machine": N_("Machine parts"),
    "model": N_("Models"),
    "profile": N_("Grading profiles"),
    "roll": N_("Rolls"),
    "sample": N_("Samples"),
    "schedule": N_("Schedules"),
    "style": N_("Styles"),
    "training": N_("Trainings"),
    "user": N_("Users"),
}
SUBJECTS = {  # as they are written down: a kind of thing and its number
    "capture": N_("capture {number}"),
    "defect": N_("defect {number}"),
    "sample": N_("sample {number}"),
}
OTHERS = {"first admin": N_("first admin"), "gate": N_("rules of the gate"), "the line": N_("the line")}
PICTURE_CHARS = 12  # of its name, which is long and random
_NUMBERED = re.compile(r"(\w+) (\d+)")


def act_in_words(action: str) -> str:
    """One that is not known, as of an older version, stays as it is."""
    return _(ACTS[action]) if action in ACTS else action


def kind_in_words(kind: str) -> str:
    return _(KINDS[kind]) if kind in KINDS else kind


def subject_in_words(action: str, subject: str) -> str:
    """With a capital; a name that people gave stays as it is."""
    kind = action.partition(".")[0]
    if kind in ("defect", "sample") and (found := _NUMBERED.fullmatch(subject)) and found[1] in SUBJECTS:
        return words.sentence(_(SUBJECTS[found[1]], number=found[2]))
    if action == "sample.add":  # of a version that wrote down where its picture lies
        return words.sentence(_("sample with picture {name}", name=subject.rpartition("/")[2][:PICTURE_CHARS]))
    if kind == "alarm":
        return words.sentence(_("alarm {number}", number=subject))
    if kind == "alarm_rule" and "@" in subject:
        return _("{name}, line {line}", **dict(zip(("name", "line"), subject.split("@", 1), strict=True)))
    known = kind in ("line", "model", "user") and subject in OTHERS
    return words.sentence(_(OTHERS[subject])) if known else subject


def subject_asked_for(text: str) -> str:
    """What somebody looks for, as it was written down: "Fehler 7" is defect 7."""
    for subject in SUBJECTS.values():
        found = re.fullmatch(re.escape(_(subject, number="#")).replace(r"\#", r"(\d+)"), text.strip(), re.IGNORECASE)
        if found:
            return subject.format(number=found[1])
    return text
