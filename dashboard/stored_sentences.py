"""Sentences of the stores - why a grade is what it is, alarms, refusals - in the language of who looks.

They are written in English with names and figures in them. What matches one of `SENTENCES` is said in the viewer's
language with the same names and figures; anything else stays as it is.
"""

import inspection.language
from dashboard.language import N_, _
from dashboard.stored_words import KNOWN
from storage.reports.sayings import SENTENCES as OF_ROLLS

SENTENCES = (
    *OF_ROLLS,
    # Alarms
    N_("defect {defect}, {form} of {size} mm at {place} m of roll {roll}, {across} mm across, camera {camera}"),
    N_("periodic defect every {period} mm at {across} mm across, {number} times, next at {place} m of roll {roll}"),
    N_(
        "periodic defect every {period} mm at {across} mm across, {number} times, suspect: {suspect}, next at {place} "
        "m of roll {roll}"
    ),
    N_("only {number} of {least} workers run: cloth waits to be inspected, start loomwatch worker"),
    N_("cannot tell {what}: {why}"),
    N_("scores of normal fabric of style {style} on camera {camera}: {state}"),
    N_("camera {camera} is silent since {time} UTC: is it connected, and does the ingest service run?"),
    # Refusals
    N_("you are not signed in any more: sign in again"),
    N_("this needs the role {least}, and {name} is {role}: ask an admin"),
    N_("there is no defect {defect}: it may have been removed"),
    N_("defect {defect} was changed meanwhile: look at it again, then decide"),
    N_("{name} confirmed defect {defect} meanwhile: look at it again, then decide"),
    N_("{name} called defect {defect} a false alarm meanwhile: look at it again, then decide"),
    N_("{name} took back the review of defect {defect} meanwhile: look at it again, then decide"),
    N_("{name} named defect {defect} {words} meanwhile: look at it again, then decide"),
    N_("{name} set defect {defect} to {words} meanwhile: look at it again, then decide"),
    N_("defect {defect} became part of defect {other} meanwhile: look at the whole of it, then decide"),
    N_("defects of two rolls cannot be merged: choose defects of one roll"),
    N_("one defect alone cannot be merged: choose at least two"),
    N_("roll {name} is open on line {line}: close it first (loomwatch rolls close --line {line2})"),
    N_("line {line} already has a roll {name}: choose another name"),
    N_("roll name {name} is kept for automatic rolls: choose another one"),
    N_(
        "no roll is open on line {line} (the last one, {name}, closed at {when}): open one first "
        "(loomwatch rolls open --line {line2})"
    ),
    N_("{field} of a roll must have a time zone, got {when}: add one, as in +00:00"),
    N_("{field} of a roll must be at most a day ahead of now, got {when}"),
    N_("no roll is open on line {line}: open one first (loomwatch rolls open --line {line2})"),
    N_("roll {name} is suspended already, by {by}: {reason}"),
    N_("roll {name} is not suspended: somebody may have cleared it meanwhile"),
    N_("there is already a user {name}: choose another name"),
    N_("there is no user {name}: see loomwatch users list"),
    N_("there is an admin already: ask them for an account"),
    N_("this is the last admin: make somebody else one first"),
    N_("the password is too easy to guess: take a few words that do not belong together"),
    N_("the password must have {least} to {most} characters"),
    N_("model {name} failed the gate: {rules}"),
    N_("model {name} does not know {styles}: promote it for single styles"),
    N_("no gate has compared model {name} with {other}: run loomwatch models gate {name2}"),
    N_("no model ran before the present one: promote another one instead"),
    N_("there is no model {name}: see loomwatch models list"),
    N_("style {style} has no samples to learn from: add some first (loomwatch samples add FOLDER)"),
    N_("style {style} has samples for {number} tiles of {size} px, {least} at least are needed"),
    N_("model {name} is ready to be promoted"),
    N_("camera {camera} takes a golden roll of {style} already: stop it first, or wait for its end"),
    N_("a capture needs the name of its style"),
    N_("a sample needs the name of its style"),
    N_("past frame {frame} of {camera} is gone: other cloth took its place"),
    N_("a part is less than the whole picture, which is accepted or refused as it is"),
    N_("a part is at least a tile of {least} px, got {width} x {height} px"),
    N_("sample {sample}: defect {defect}, which staff confirmed, lies in it"),
    N_("sample {sample}: defect {defect}, which nobody has reviewed, lies in it"),
    N_("{name} has {size} MB, {most} at most are taken"),
    N_("{name}: not a picture of a known format: save it as 8-bit PNG, or remove it"),
    # Why something is a sample
    N_("called a false alarm"),
    N_("uploaded as {name}"),
    N_("golden roll"),
    N_("a frame of the running line"),
    N_("by chance, of the tiles that score low"),
    N_("chosen from past frames"),
    # Cameras
    N_("camera {camera}: there is no {path}: give {kinds}"),
    N_("camera {camera}: {path} is no picture or video by its name: known are {endings}"),
    N_("{path} holds no pictures ({endings}): put some there, or set follow to wait for them"),
    N_("camera {camera}: no stream answers at {address}: check address, user, password and network"),
    N_("camera {camera} gave no picture that can be read ({why})"),
    N_(
        "camera {camera} answers, but gave no picture within {seconds} s: a line-scan camera gives one only while the "
        "cloth moves"
    ),
    N_("camera {camera} gave no picture within {seconds} s"),
    N_("camera {camera}: no fabric was found in {number} frames in a row"),
    N_("camera {camera} gave no frame with fabric"),
    N_(
        "camera {camera} shows {size} px of fabric, a tile has {tile} px: take a larger picture, or one nearer to the "
        "cloth"
    ),
    N_("a camera basler://... needs pypylon: pip install 'loomwatch[basler]'"),
    N_("its camera is not set up any more"),
    N_("this kind of camera is named in loomwatch.toml, not here"),
    N_("the line needs a name"),
    N_("the style needs a name"),
    N_("no model knows style {style} yet: train one first"),
    N_("there is no camera {camera}: see the page Line"),
    # Trainings
    N_("waits for the trainer"),
    N_("model {model} is ready to be promoted, no model runs that the gate could compare it with"),
    N_("model {model} is trained, but the gate could not judge it: {why}"),
    N_("model {model} is trained, the gate was called off"),
    N_("model {model} passed the gate and is ready to be promoted"),
    N_("model {model} passed the gate ({number} rules could not be judged) and is ready to be promoted"),
    N_("model {model} passed the gate and is promoted by rule"),
    N_("model {model} passed the gate and is promoted by rule for {style}"),
    N_("model {model} passed the gate and runs as shadow"),
    N_("model {model} passed the gate, but what the policy says could not be done: {why}"),
    N_("model {model} knows style {style} provisionally and is ready to be promoted"),
    # The gate
    N_("speed: the two models take tiles of different size"),
    N_("style {style}: the running model knows it, the candidate does not"),
    N_("finds {number} of {total} confirmed defects, the running model {running}"),
    N_("confirmed defects: there is none yet in the regression set"),
    N_("false alarms: no held-out normal fabric; a style needs samples of five days or rolls"),
    N_("decides alike by {names}"),
    # The shadow
    N_("another model came in charge"),
    N_("it came in charge itself"),
    N_("stopped by {name}"),
    N_("{metres} m were compared"),
    N_("{metres} m were compared, no alarm by either: promoted by rule"),
    N_("{metres} m were compared, {share} % of the alarms the same: promoted by rule"),
    N_("{metres} m were compared, {share} % of the alarms the same, {least} % at least are asked for: not promoted"),
    N_("{metres} m were compared, no alarm by either, not promoted: {why}"),
    N_("{metres} m were compared, {share} % of the alarms the same, not promoted: {why}"),
)


def told(text: str) -> str:
    """A sentence of the stores, without its full stop, with a capital."""
    shown = inspection.language.told(text, SENTENCES, KNOWN, _)
    return shown[:1].upper() + shown[1:]
