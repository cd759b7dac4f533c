"""What the stores say in English of rolls - reasons, names of defects, grades, rules - in the language of the paper.

`WORDS`, `SENTENCES` and `DETAILS` have to name them all for them to be translated; a test compares them with what
the stores can say.
"""

from inspection import language
from inspection.language import N_
from storage.reports.language import _, mark

WORDS = (
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
    # Severities
    N_("major"),
    N_("critical"),
    N_("metre"),
    N_("yard"),
    # Left out of the grade
    N_("false alarm"),
    N_("within the edge"),
    N_("within the ends"),
    N_("minor"),
    # Acts
    N_("confirmed"),
    N_("to review"),
)
SENTENCES = (
    # Grades
    N_("the roll is still running"),
    N_("the roll is suspended by {by}: {reason}"),
    N_("{length} m of the cloth are captured and not inspected yet"),
    N_("1 defect waits for review and counts as found"),
    N_("{number} defects wait for review and count as found"),
    N_("more points than {grade} may have"),
    N_("a running or repeating defect from {start} m to {end} m is longer than {limit} m"),
    N_("{number} defects over the full width, at most {limit} may be"),
    N_("{share} of the cloth was inspected, at least {least} must be: no grade before the rest is inspected"),
    N_("there is no length to grade"),
    N_("there is no width to grade"),
    # Rules that gave points
    N_("up to {size}"),
    N_("over {size} to {limit}"),
    N_("over {size}"),
    N_("running defects, each unit"),
    N_("holes"),
    N_("full width"),
    N_("shade, barré, crease: each unit"),
    N_("warp defects"),
    N_("weft defects"),
)
# What stands in brackets behind a reason of a gap or a warning of a camera
DETAILS = (
    N_("{share} of the picture is white"),
    N_("{share} of the sharpness of this camera's reference"),
    N_("{share} of its reference's sharpness"),
    N_("{share} brighter than its reference"),
    N_("{share} darker than its reference"),
    N_("camera column {column}"),
    N_("all of it is a neighbour's"),
    N_("{width} mm of fabric, {least} mm and more expected"),
    N_("{width} mm of fabric, {least} mm to {most} mm expected"),
    N_("{width} x {height} px of fabric, a tile is {tile} px"),
    N_("a band across the fabric differs by {level} grey levels"),
    N_("within {length} mm behind it"),
    N_("{number} frames, the reader was late"),
    N_("1 frame by the camera's own count"),
    N_("{number} frames by the camera's own count"),
    N_("{length} mm by the encoder"),
    N_("away for {seconds} s"),
    N_("away for {seconds} s, length by time and last speed"),
    N_("the frame is incomplete"),
    N_("at the stop"),
    N_("and other reasons"),
    N_("its line in the journal is gone"),
    N_("{number} workers died of it"),
    # of a frame in the spool
    N_("a spooled frame has {least} bytes and more, {name} has {number}"),
    N_("{name} is not a spooled frame"),
    N_("{name} fails its checksum"),
    N_("{name} has {number} bytes, not {right}"),
    N_("{name} holds no frame"),
    N_("{name} holds another frame"),
    # of a model that takes other frames
    N_(
        "bundle {name} was trained on tiles of {own} px, not {tile} px: cut tiles of its size, or train a bundle for "
        "yours"
    ),
    N_(
        "bundle {name} was trained at {own} mm/px, not {picture} mm/px: set the camera's scale right, or train a "
        "bundle at yours"
    ),
    N_("{name}: frame {number} cannot be decoded"),
    N_("{name}: frames {first} to {last} cannot be decoded"),
    # of a picture
    N_("{name}: the file is empty: write it again or remove it"),
    N_("{name}: not a picture of a known format: save it as 8-bit PNG, or remove it"),
    N_("{name}: truncated or damaged ({reason}): write it again or remove it"),
    N_("{name}: too large for one picture: cut it into frames ({reason})"),
    N_("{name}: {why}: save it as 8-bit grey or RGB"),
    N_("has 16-bit pixels"),
    N_("has 16-bit or 32-bit pixels"),
    N_("has floating point pixels"),
    N_("has premultiplied transparency"),
    N_("has 4 channels (CMYK)"),
    N_("has pixels of kind {kind}"),
    N_("is {mode}"),
)


def said(text: str) -> str:
    """A word of the stores."""
    return language.said(text, WORDS, _, _detail)


def told(text: str) -> str:
    """A sentence of the stores."""
    return language.told(text, SENTENCES, WORDS, _, mark, detail=_detail)


def _detail(text: str) -> str:
    return language.told(text, DETAILS, WORDS, _, mark, lambda name, value: _detail(value) if name == "why" else None)


def sentence(text: str) -> str:
    """A sentence of the stores, with a capital."""
    shown = told(text)
    return shown[:1].upper() + shown[1:]
