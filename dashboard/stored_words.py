"""What the stores tell in English words, in the language of who looks: names of defects, reasons, states, grades.

`KNOWN` has to name them all for them to be translated; a test compares it with what the stores can say.
"""

from dashboard.language import N_, _

KNOWN = (
    # Reasons of gaps
    N_("inspection could not keep up and the spool was full"),
    N_("the camera skipped or lost frames"),
    N_("the picture could not be read"),
    N_("the frame was too dark"),
    N_("the frame was overexposed"),
    N_("the frame was out of focus"),
    N_("no fabric was found in the frame"),
    N_("the fabric in the frame was narrower than a tile"),
    N_("the fabric was not as wide as it should be"),
    N_("a seam passed"),
    N_("the running model was trained for another tile size or scale"),
    N_("the record of the frame contradicted itself or the camera's earlier ones"),
    N_("the spooled frame was damaged on disk"),
    N_("every worker that tried to inspect the frame failed"),
    N_("the ingest process died while the frame was only in its memory"),
    N_("the cloth is captured and not inspected yet"),
    N_("the camera was silent while others saw the cloth"),
    # Warnings of cameras
    N_("the light has drifted"),
    N_("the focus is drifting"),
    N_("a camera column stands out metre after metre: clean the lens, or look for a running warp fault"),
    # Defects
    N_("broken or missing end"),
    N_("double end"),
    N_("reed mark"),
    N_("slack or tight end"),
    N_("needle or sinker line"),
    N_("mispick"),
    N_("double pick"),
    N_("weft crack"),
    N_("weft bar"),
    N_("starting mark"),
    N_("barré"),
    N_("seam or join"),
    N_("slub"),
    N_("thick or thin place"),
    N_("knot"),
    N_("nep"),
    N_("fly or contamination"),
    N_("float"),
    N_("snag or snarl"),
    N_("hole"),
    N_("dropped stitch"),
    N_("oil or dye stain"),
    N_("temple or roller mark"),
    N_("crease"),
    N_("selvedge fault"),
    N_("shading, bow or skew"),
    N_("uneven finish"),
    # Severities, priorities
    N_("minor"),
    N_("major"),
    N_("critical"),
    N_("high"),
    N_("medium"),
    N_("low"),
    # Roles
    N_("viewer"),
    N_("operator"),
    N_("quality"),
    N_("admin"),
    # Grades
    N_("first"),
    N_("second"),
    N_("reject"),
    N_("rejected"),
    N_("none"),
    N_("incomplete"),
    N_("rework"),
    N_("provisional"),
    N_("final"),
    N_("metre"),
    N_("yard"),
    # Left out of the grade
    N_("false alarm"),
    N_("within the edge"),
    N_("within the ends"),
    # Services
    N_("running"),
    N_("waiting"),
    N_("training"),
    N_("watching"),
    N_("standing by"),
    N_("ended"),
    N_("problem"),
    N_("silent"),
    N_("starting"),
    N_("stopped"),
    N_("done"),
    # Acts
    N_("confirmed"),
    N_("to review"),
)


def said(text: str) -> str:
    """A word or sentence part of the stores; a detail in brackets behind it stays as it is."""
    if text in KNOWN:
        return _(text)
    words, bracket, detail = text.partition(" (")
    return f"{_(words)} ({detail}" if bracket and words in KNOWN else text


def sentence(text: str) -> str:
    """The same with its first letter in capitals."""
    shown = said(text)
    return shown[:1].upper() + shown[1:]
