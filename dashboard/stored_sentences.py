"""Sentences of the stores - why a grade is what it is, alarms, refusals - in the language of who looks.

They are written in English with names and figures in them. What matches one of `SENTENCES` is said in the viewer's
language with the same names, and with figures in the viewer's units; anything else stays as it is.
"""

import inspection.language
from dashboard import words
from dashboard.language import language
from dashboard.stored_figures import in_own_units
from dashboard.stored_words import KNOWN, detail, said
from dashboard.units import units
from inspection.language import N_
from inspection.types import REASONS
from storage.defects.geometry import GEOMETRIES
from storage.reads.gap_words import reason_in_words
from storage.reports.sayings import DETAILS
from storage.reports.sayings import SENTENCES as OF_ROLLS

NESTED = ("what", "why", "rules", "places")  # placeholders of what is a sentence itself, or some of them
SENTENCES = (
    *OF_ROLLS,
    *DETAILS,
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
    N_("severe defect: {places}"),
    N_("severe defect: {places} and {more} more"),
    N_("running defect: {places}"),
    N_("running defect: {places} and {more} more"),
    N_("{number} defects in the last {metres} m, raised at {limit}"),
    N_("{number} points in the last {metres} m, raised at {limit}"),
    N_("camera {camera}: {share} of the last {metres} m inspected"),
    N_("camera {camera}: {share} of the last {metres} m inspected, mostly because of {code}"),
    N_("no inspection worker runs: cloth waits to be inspected, start loomwatch worker"),
    N_("which cameras run"),
    N_("whether inspection workers run"),
    N_("there is no alarm {alarm}: see loomwatch alarms list"),
    N_("alarm {alarm} is acknowledged already"),
    N_("alarm {alarm} is acknowledged by {by} already"),
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
    N_("camera {camera} takes a frame already: stop it first, or wait for its end"),
    N_("a capture needs the name of its style"),
    N_("a sample needs the name of its style"),
    N_("past frame {frame} of {camera} is gone: other cloth took its place"),
    N_("a part is less than the whole picture, which is accepted or refused as it is"),
    N_("a part is at least a tile of {least} px, got {width} x {height} px"),
    N_("sample {sample}: defect {defect}, which staff confirmed, lies in it"),
    N_("sample {sample}: defect {defect}, which nobody has reviewed, lies in it"),
    N_("{name} has {size} MB, {most} at most are taken"),
    N_("{name} took away the name of defect {defect} meanwhile: look at it again, then decide"),
    N_("{name} left the severity of defect {defect} to the rules meanwhile: look at it again, then decide"),
    N_("{name} merged defects {defects} meanwhile: look at it again, then decide"),
    N_("{name} split defect {defect} into {defects} meanwhile: look at it again, then decide"),
    N_(
        "defect {defect} is not among the confirmed ones of pruned rolls: of any other roll, call it a false alarm on "
        "the page Review"
    ),
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
    N_("the name of a line has at most {most} printable characters, got {given}"),
    N_("the name of a roll has at most {most} printable characters, got {given}"),
    N_("the name of a style has at most {most} printable characters, got {given}"),
    N_("a camera's name has 1 to 64 letters a to z, digits, '_', '-' and '.', got {given}"),
    N_("say where the camera's pictures come from"),
    N_("the style needs a name"),
    N_("no model knows style {style} yet: train one first"),
    N_("there is no camera {camera}: see the page Line"),
    N_("camera {camera} gave something that is no picture"),
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
    N_("waits for the training that runs"),
    N_("starts"),
    N_("reads the samples"),
    N_("trains, epoch {epoch} of {epochs}"),
    N_("trains, epoch {epoch} of {epochs}, loss {loss}"),
    N_("sets thresholds, epoch {epoch} of {epochs}"),
    N_("sets thresholds, epoch {epoch} of {epochs}, loss {loss}"),
    N_("registers the model"),
    N_("{model} is a candidate"),
    N_("learns {style} from {number} frames"),
    N_("the guard compares the frames of the golden roll of {style}"),
    N_("the guard compares samples of {style} with others"),
    N_("the guard looks at sample {number} of {total}"),
    N_("gate: held-out fabric, {number} of {total}"),
    N_("gate: confirmed defects, {number} of {total}"),
    N_("gate: runtimes and speed"),
    N_("gate: done"),
    N_("cancelled by {by}"),
    N_("cancelled by {by} at {share}"),
    N_("given up after {number} tries: {why}"),
    N_("{why}; goes on from its last checkpoint"),
    N_("it took longer than its limit of {hours} h: give it more, or a faster device"),
    N_("there is no training {job}: loomwatch jobs list shows them"),
    N_("several trainings begin with {job}: give more of it"),
    N_("training {job} is over ({state}): there is nothing to cancel"),
    N_("training {job} is {state}: only one that failed or was cancelled can"),
    N_("there are no samples of normal fabric: add some first (loomwatch samples add FOLDER)"),
    N_(
        "there are no samples of normal fabric: add some first (loomwatch samples add FOLDER), or look at those "
        "held: {held}"
    ),
    N_(
        "style {style}, which the running model knows, has no samples and would be forgotten: add normal fabric of "
        "it (loomwatch samples add FOLDER)"
    ),
    N_(
        "style {style}, which the running model knows, has no samples and would be forgotten: add normal fabric of "
        "it (loomwatch samples add FOLDER), or look at the {held} that are held"
    ),
    N_(
        "style {style} has a sample at {own} mm/px, the model sees {other} mm/px: give all samples at one scale "
        "({picture})"
    ),
    N_(
        "style {style} has samples for {number} tiles of {size} px, {least} at least are needed, 100 are good: add "
        "normal fabric of it (loomwatch samples add FOLDER)"
    ),
    N_(
        "style {style} has samples for {number} tiles of {size} px, {least} at least are needed, 100 are good: add "
        "normal fabric of it (loomwatch samples add FOLDER), or look at the {held} that are held"
    ),
    N_(
        "sample {sample} of style {style} is {width} x {height} px, smaller than a tile of {tile} px: take it out, "
        "or train with smaller tiles"
    ),
    N_("style {style} was renamed or taken away while the training ran: start a new training"),
    N_("sample {sample} was removed while the training ran: start a new training"),
    N_("{folder} holds too many models called {name}: remove some"),
    N_("model {name} is in charge: there is nothing to compare it with"),
    N_("no model is in charge"),
    N_("no model is in charge: promote one first, a style is added to it"),
    N_("model {name} was trained on style {style}: retrain it instead"),
    N_(
        "style {style} has no accepted samples: capture its golden roll, or loomwatch samples add FOLDER, and accept "
        "what is held"
    ),
    N_(
        "style {style} has a sample at {own} mm/px, the model sees {other} mm/px: capture it at the model's ({picture})"
    ),
    N_("a schedule needs a name of at most {most} characters, got {name}"),
    N_("there is a schedule {name} already: change or remove it, or take another name"),
    N_("there is no schedule {name}: loomwatch schedule list shows them"),
    N_("schedule: quiet hours need a beginning and another end, got {values}"),
    N_("{number} of {total} new samples"),
    N_("drift"),
    N_("a new style"),
    N_("samples wait for the guard: {why}"),
    N_("model {name} does not load: {why}"),
    N_("model {name} runs by {runtime}: {why}"),
    N_("no model is loaded yet"),
    N_("no model is promoted"),
    N_("sink {name}: {why}"),
    N_("the trainer was stopped"),
    N_("its process or its trainer ended without a word"),
    N_("the training process was ended by {signal}"),
    N_("the training process was ended by {signal}, perhaps for want of memory"),
    # The gate
    N_("speed: the two models take tiles of different size"),
    N_("style {style}: the running model knows it, the candidate does not"),
    N_("finds {number} of {total} confirmed defects, the running model {running}"),
    N_("confirmed defects: there is none yet in the regression set"),
    N_("false alarms: no held-out normal fabric; a style needs samples of five days or rolls"),
    N_("decides alike by {names}"),
    N_("style {style}: {why}"),
    N_(
        "style {style}: {rate} false alarms per 100 m on {metres} m held out, the running model {running}, up to "
        "{limit} is within its {share} % interval"
    ),
    N_(
        "{rate} false alarms per 100 m on {metres} m held out, the running model {running}, up to {limit} is within "
        "its {share} % interval"
    ),
    N_("{share} % of the running model's tiles a second, {least} % at least are asked for"),
    N_("runtime {runtime}: {reason}"),
    # Accounts
    N_("the present password is another one"),
    N_("too many wrong passwords: wait {seconds} s, then try again"),
    N_("{name} has no password here: ask an admin"),
    N_("the name {name} is somebody else's here: ask an admin to give that account another"),
    N_("{name} has no account here yet: ask an admin for one (loomwatch users add {name2} --company)"),
    N_("the account {name} is disabled: ask an admin"),
    N_("there is no user {name} who could have a password: see loomwatch users list"),
    N_("this link was used already or is too old: ask for another, or see loomwatch users link"),
    N_("role: must be one of {roles}, got {given}"),
    N_("name: must have 1 to {most} printable characters, got {given}"),
    N_("{name} signs in with the company's account, which has no password here"),
    N_("this way in is over, or began in another browser: begin again"),
    N_("{company} did not let you in: begin again, or ask an admin"),
    N_("{company} took the code but gave no token ({kind}): check LOOMWATCH_DASHBOARD_OIDC_CLIENT_ID and its secret"),
    N_("{issuer} does not describe itself by this name: correct LOOMWATCH_DASHBOARD_OIDC_ISSUER to the letter"),
    N_("{company} does not answer ({kind})"),
    N_("{company} answers something else than was asked"),
    N_("what {company} sent cannot be trusted ({kind}): ask an admin"),
    N_("{company} did not say your name ({claim}): ask an admin"),
    # Rolls
    N_("roll {name} cannot open at {at}, which is still to come: give a past time"),
    N_("roll {name} cannot close at {at}, which is still to come: give a past time"),
    N_("looms are compared by defects of every form: leave out form {form}"),
    N_("roll {name} is not open any more: somebody closed it meanwhile"),
    N_("roll {name} is not there any more: see loomwatch rolls list"),
    N_("roll {name} is not on hold"),
    N_("a hold needs a reason: say why roll {name} must be kept"),
    N_("a reason of 1 to {most} characters is needed, got {number}"),
    N_("a remark of 1 to {most} characters is needed, got {number}"),
    N_("a roll needs a line and a name, got line {line} and name {name}"),
    N_("roll {name} opened at {opened} cannot close at {closed}: give a later time"),
    N_("roll {name} would overlap roll {other} on line {line} ({begin} until {end}): choose another time"),
    N_("{field} of a roll has at most {most} characters, got {number}: {given}..."),
    N_("defect {defect} has {number} pieces: choose at least one of them, and not all, to be a defect of their own"),
    N_("no shift at {at}: give the shifts in LOOMWATCH_REPORT_SHIFTS"),
    N_("there is no shift {name}: there are {names} (LOOMWATCH_REPORT_SHIFTS)"),
    N_("looms are compared over whole rolls, not of one camera: leave out camera {camera}"),
    N_("the last day must not be before the first, got {first} to {last}"),
    N_("at most {most} days are shown at once, got {days}: choose fewer"),
    # Models
    N_("{why}; or override it with a reason"),
    N_("{why}: to override it takes a reason"),
    N_("model {name} does not know style {style}: it knows {styles}"),
    N_("no model is in charge yet: promote one for all styles first"),
    N_(
        "model {name} has {key} {own}, the one in charge {other}: frames fit one of them only, promote it for all "
        "styles"
    ),
    N_("model {name}: {path} now holds another bundle: import it again under a new name"),
    N_("{folder} is no bundle: cannot read {file}: {reason}"),
    N_("bundle {folder}: {file} is damaged: import it again from a good copy"),
    N_("bundle {folder}: {file} is damaged (wrong checksum): import it again from a good copy"),
    N_("bundle {folder}: {file} lacks {parts}: train it again"),
    N_("bundle {folder}: {file} lists {name}, which is no file of a bundle"),
    N_("bundle {folder}: name {name} is not made of letters, digits, '_', '-', '.'"),
    N_("bundle {folder}: cannot read {file}: {reason}"),
    N_("another model is called {name}: give the bundle another name, or use the one there"),
    N_("{folder} already holds another bundle: give this one another name"),
    N_("cannot copy the bundle to {folder}: {reason}: free some space or check the folder"),
    N_("no model is in charge: promote one, there is nothing to score beside"),
    N_("model {name} is in charge already: there is nothing to score beside"),
    N_("model {name} has not passed the gate beside the running one: loomwatch models gate {name2}"),
    N_("model {name} runs as shadow: stop it first (loomwatch models shadow stop)"),
    N_("no model runs as shadow"),
    N_("another model came in charge"),
    N_("{metres} m were compared"),
    N_("a limit is moved to {least} to {most} times the model's own, got {factor}"),
    N_("a change of the sensitivity needs a reason"),
    N_("another model in charge needs a reason: write why, for those who look for it later"),
    N_("to take a confirmed defect out needs a reason: say why it was none"),
    N_("no model in charge knows style {style}"),
    # Samples
    N_("there is no style {style}: it comes with its first sample or roll"),
    N_("a sample needs a style and a scale, got style {style} and {scale} mm/px"),
    N_("there is no sample {sample}: see loomwatch samples list"),
    N_("a golden roll has {least} m to {most} m, got {metres} m"),
    N_("capture {capture} does not run any more"),
    N_("there is no capture {capture}"),
    N_("past frame {frame} cannot be read: {reason}"),
    N_("sample {sample} is a false alarm's: it is learned as a whole, or not at all"),
    N_("a part lies inside its picture of {width} x {height} px, got {box}"),
    N_("{name} is {width} x {height} px, too large for one sample: cut it into frames"),
    # Stores
    N_("Redis at {place}: {reason}: check that it runs and the Redis URL is right"),
    N_("the Redis URL {place} cannot be read: write redis://HOST:PORT or unix://PATH"),
    N_("live figures in Redis at {place} are of another loomwatch: use one version everywhere"),
    N_("database {place} has no tables yet: run loomwatch db upgrade"),
    N_("database {place} is of an older loomwatch (revision {own}, needed is {needed}): run loomwatch db upgrade"),
    N_("database {place} was made by a newer loomwatch (revision {own}, known is {known}): update loomwatch"),
    N_("database {place}: the file is gone"),
    N_("database {place}: {reason}"),
    N_("database {place}: {reason}: make the file and its folder writable for this user"),
    N_("database {place}: {reason}: connect to a server that may be written to"),
    N_("database {place}: {reason}: free some space"),
    N_("database {place}: {reason}: write it without that character"),
    N_("text must have no control characters, got {text}: write it without them"),
    N_("database {place}: {reason}: check the disk and its free space"),
    N_("database {place}: {reason}: check that the folder exists and this user may write in it"),
    N_("database {place}: {reason}: another program has held it for {seconds} s, stop that program"),
    N_("database {place}: {reason}: the file is something else, name another one"),
    N_("database {place}: {reason}: the file is damaged, restore a backup"),
    N_("picture store {place} cannot be used: {reason}: install its driver or name a folder"),
    N_("picture store {place} has no picture {key}"),
    N_("picture store {place}: {key}: {reason}"),
    N_("there is no log {name}"),
    N_("cannot write {path}: {reason}"),
    N_("cannot read {path}: remove it, and set the line up again"),
    N_("database {place}: {reason}: check that the server runs and the database URL is right"),
    N_("database {place}: {reason}: correct the user or the password in the database URL"),
    N_("database {place}: {reason}: add the password to the database URL"),
    N_("database {place}: {reason}: grant this user the rights on the database"),
    N_("database {place}: {reason}: create it, or correct the database URL"),
    N_("database {place}: {reason}: check the host in the database URL"),
    # The shadow
    N_("it came in charge itself"),
    N_("stopped by {name}"),
    N_("{metres} m were compared, no alarm by either: promoted by rule"),
    N_("{metres} m were compared, {share} % of the alarms the same: promoted by rule"),
    N_("{metres} m were compared, {share} % of the alarms the same, {least} % at least are asked for: not promoted"),
    N_("{metres} m were compared, no alarm by either, not promoted: {why}"),
    N_("{metres} m were compared, {share} % of the alarms the same, not promoted: {why}"),
)


def told(text: str) -> str:
    """A sentence of the stores, without its full stop, with a capital."""
    shown = _said(text)
    return shown[:1].upper() + shown[1:]


def _said(text: str) -> str:
    if language() == "en" and units().long == "m":
        return text
    return inspection.language.told(text, SENTENCES, KNOWN, in_own_units, part=_part, detail=detail)


def _part(name: str, value: str) -> str | None:
    """What stands in a sentence's placeholder, where it is more than a word or a name."""
    if name in NESTED:
        return "; ".join(map(_said, value.split("; ")))
    code = value.replace(" ", "_")
    if name == "form" and code in GEOMETRIES:
        return words.geometry(code)
    return said(reason_in_words(code)) if name == "code" and code in REASONS else None
