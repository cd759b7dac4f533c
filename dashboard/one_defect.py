"""One defect in full, with everything that can be done about it: by key, by mouse and by touch."""

from collections.abc import Callable

import streamlit as st

from dashboard import acts, data, shell, stored_words, words
from dashboard.defect_cards import card_grid, chosen_of, open_defect, piece_grid
from dashboard.language import _, figure, ngettext
from dashboard.stored_words import said
from inspection.errors import LoomwatchError
from inspection.language import N_
from storage.defects.geometry import CODES, propose_names
from storage.grading.severity import SEVERITIES
from storage.reads.defects import DefectDetail, DefectFilter, DefectItem
from storage.reads.pieces import COMPARED
from storage.reads.review_state import State
from storage.reviews import Done

DIGITS = 6  # names that have a key of their own
PARTS = 3  # of what is told of a defect
BESIDE = 8  # defects nearby, similar ones
STRIPS = {
    "queue": N_("Next in the queue"),
    "near": N_("Nearby on the cloth"),
    "similar": N_("Similar"),
    "pieces": N_("Its pieces"),
}


def show_defect(detail: DefectDetail, wanted: DefectFilter) -> None:
    item = detail.item
    before, after = data.neighbours_of(wanted, item.id)
    with st.container(border=True, gap="xsmall"):
        show_head(detail, wanted, before, after)
        show_verdicts(item, before, after)
        show_names(detail)
        show_what_is_known(detail)
    show_strip(detail, wanted)
    if after is not None:
        look_ahead(after)


def show_head(detail: DefectDetail, wanted: DefectFilter, before: int | None, after: int | None) -> None:
    item = detail.item
    total = data.list_defects(wanted, 1, 0)[1]
    rank = data.rank_of(wanted, item.id) + 1
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(_("Defect {id}", id=item.id), anchor=False, width="content")
        shell.state_badge(item.state)
        if detail.learned:
            st.badge(_("Learned as normal"), icon=":material/school:", color="blue")
        fits = (not wanted.state or wanted.state == item.state) and rank <= total
        place = (
            _("{rank} of {counted}, worst first", rank=figure(rank, ","), counted=words.counted(total))
            if fits
            else _("{counted} in this list", counted=words.counted(total))
        )
        states = words.states(data.count_by_state(wanted))
        st.caption(f"{place}  \n{states}", width="stretch", text_alignment="right")
        st.button(
            _("Previous"),
            key="one.before",
            icon=":material/chevron_left:",
            shortcut="Left",
            disabled=before is None,
            on_click=go_to,
            args=(before,),
        )
        st.button(
            _("Next"),
            key="one.after",
            icon=":material/chevron_right:",
            icon_position="right",
            shortcut="Right",
            disabled=after is None,
            on_click=go_to,
            args=(after,),
        )


# --- acts ----------------------------------------------------------------------------------------------------------


def show_verdicts(item: DefectItem, before: int | None, after: int | None) -> None:
    """A verdict goes on to the next defect."""
    following = after if after is not None else before
    with st.container(horizontal=True, vertical_alignment="center"):
        shell.act_button(
            _("Confirm defect"),
            key="one.confirm",
            type="primary",
            icon=":material/error:",
            shortcut="D",
            disabled=item.state == "confirmed",
            on_click=judge,
            args=(item.id, item.version, "confirmed", following),
        )
        shell.act_button(
            _("False alarm: learn as normal"),
            key="one.reject",
            icon=":material/block:",
            shortcut="F",
            disabled=item.state == "rejected",
            help=_("The picture becomes a sample of normal fabric for the next training"),
            on_click=judge,
            args=(item.id, item.version, "rejected", following),
        )
        show_undo(item)


def show_names(detail: DefectDetail) -> None:
    """The trade's names for a defect of this form, and how severe it is: a key each, and all of them to choose from."""
    item = detail.item
    proposed = [name.code for name in propose_names(item.geometry, hole=item.hole, periodic=detail.series is not None)]
    codes = ["", *proposed, *([item.code] if item.code and item.code not in proposed else [])]
    severities: list[str] = [*SEVERITIES]
    place = severities.index(item.severity)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        for number, code in enumerate(proposed[:DIGITS], start=1):
            shell.act_button(
                words.code(code),
                key=f"one.name.{number}",
                shortcut=str(number),
                type="primary" if item.code == code else "secondary",
                help=_("Once more takes the name away") if item.code == code else None,
                on_click=name,
                args=(item.id, item.version, "" if item.code == code else code),
            )
        following = severities[(place + 1) % len(severities)]
        shell.act_button(
            f"{stored_words.sentence(item.severity)} → {said(following)}",
            key="one.severity",
            icon=":material/priority_high:",
            shortcut="S",
            help=_("How severe it is")
            + ("" if item.severity_set else _(", by the rules of its roll's profile so far")),
            on_click=weigh,
            args=(item.id, item.version, following),
        )
        key = f"one.code.{item.id}.{item.version}"
        st.selectbox(
            _("Other name"),
            codes,
            index=codes.index(item.code),
            format_func=lambda code: words.code(code) if code else _("Not named"),
            key=key,
            width=220,
            label_visibility="collapsed",
            disabled=shell.needs("operator") is not None,
            on_change=lambda: name(item.id, item.version, st.session_state[key]),
        )
        chosen = f"one.weight.{item.id}.{item.version}"
        st.selectbox(
            _("Severity"),
            severities,
            index=place,
            format_func=stored_words.sentence,
            key=chosen,
            width=140,
            label_visibility="collapsed",
            disabled=shell.needs("operator") is not None,
            on_change=lambda: weigh(item.id, item.version, st.session_state[chosen]),
        )


def show_undo(item: DefectItem | None = None) -> None:
    """Takes back the last thing done here; without one, the verdict on the defect in view."""
    reviewed = item is not None and item.state != "unreviewed"
    shell.act_button(
        _("Undo") if acts.steps() or not reviewed else _("Undo review"),
        key="undo",
        icon=":material/undo:",
        shortcut="U",
        disabled=not acts.steps() and not reviewed,
        on_click=undo,
        args=(item.id if item else None, item.version if item else None),
    )


def judge(defect_id: int, version: int, state: State, following: int | None) -> None:
    verdict = _("confirmed") if state == "confirmed" else _("false alarm")
    if record(
        lambda: data.review(defect_id, state, expected=version),
        _("Defect {defect_id}: {verdict}", defect_id=defect_id, verdict=verdict),
    ):
        go_to(following)


def name(defect_id: int, version: int, code: str) -> None:
    told = _(
        "Defect {defect_id}: {name}", defect_id=defect_id, name=said(CODES[code].words) if code else _("not named")
    )
    record(lambda: data.name_defect(defect_id, code, expected=version), told)


def weigh(defect_id: int, version: int, severity: str) -> None:
    record(
        lambda: data.set_severity(defect_id, severity, expected=version),
        _("Defect {defect_id}: {severity}", defect_id=defect_id, severity=said(severity)),
    )


def undo(defect_id: int | None, version: int | None) -> None:
    if acts.steps():
        shown = acts.take_back()
        if shown is not None:
            go_to(shown)
    elif defect_id is not None:
        record(
            lambda: data.review(defect_id, "unreviewed", expected=version),
            _("Defect {defect_id}: taken back", defect_id=defect_id),
        )


def record(act: Callable[[], Done], told: str) -> bool:
    """False when somebody else was first: the page then says what they chose, and stays."""
    try:
        done = act()
    except LoomwatchError as error:
        acts.refuse(str(error))
        return False
    acts.note((done,), told)
    return True


def go_to(defect_id: int | None) -> None:
    shell.remember("defect", "" if defect_id is None else str(defect_id))


# --- what is known -------------------------------------------------------------------------------------------------


def show_what_is_known(detail: DefectDetail) -> None:
    """Crop, heat and outline side by side, and what is told of them in `PARTS` cells: these stand on top of each other
    beside the pictures, which are as tall as all of them, or side by side below where there is no width left."""
    item = detail.item
    shown = data.defect_pictures(item.id)
    pictures = [] if shown is None else [
        (shown.crop, _("As the camera saw it"), _("Cloth around defect {id}", id=item.id)),
        (shown.heat, _("What is unusual: brighter is stronger"), _("Heat of defect {id}", id=item.id)),
        (shown.outline, _("Outline of the defect"), _("Defect {id} outlined", id=item.id)),
    ]  # fmt: skip
    if not pictures:
        st.info(
            _("The pictures of this defect were not kept or are gone; its place and size still hold."),
            icon=":material/image_not_supported:",
        )
    grid = st.grid(4, min_column_width=240, gap=("xsmall", "small"))
    for picture, caption, alt in pictures:
        with grid.cell(row_span=PARTS):
            st.image(picture, caption=caption, width="stretch", alt=alt)
    *facts, last = facts_of(detail)
    for some in facts:
        with grid.cell():
            show_facts(some)
    with grid.cell(), st.container(gap="xsmall"):
        show_facts(last)
        show_history(detail)


def look_ahead(defect_id: int) -> None:
    """The next defect's pictures, drawn and sent while this one is looked at."""
    shown = data.defect_pictures(defect_id)
    with st.container(key="ahead"):
        if shown is not None:
            for picture in (shown.crop, shown.heat, shown.outline):
                st.image(picture, width=8, alt="")


def facts_of(detail: DefectDetail) -> tuple[dict[str, str], ...]:
    """`PARTS` of about the same height: where it is, what it is, and whence it is known."""
    item = detail.item
    roll = _("none") if item.roll is None else _("cloth without a roll") if item.roll.automatic else item.roll.name
    where = {
        _("Place"): _(
            "{metres} along the roll, {across} from the left edge",
            metres=words.metres(item.y_mm),
            across=words.millimetres(item.x_mm),
        ),
        _("Size"): _("{size} (along × across), area {area}", size=words.size(item), area=words.area(item.area_mm2)),
    }
    what = {
        _("Form"): words.form(item),
        _("Strength"): _(
            "{strength} (score {score}, limit {threshold})",
            strength=words.strength(item.strength),
            score=figure(item.score, ".3f"),
            threshold=figure(item.threshold, ".3f"),
        ),
    }
    whence = {
        _("Roll"): _("{roll} on {line}", roll=roll, line=item.line),
        _("Style"): item.style or _("not known"),
        _("Seen"): _("{clock} by camera {camera}", clock=shell.clock(item.captured_at), camera=item.camera),
        _("Model"): detail.model,
    }
    if item.fragments > 1:
        where[_("Seen in")] = _(
            "{fragments} frames' pieces; the picture shows the strongest, at {place}",
            fragments=figure(item.fragments, ","),
            place=words.metres(detail.peak_y_mm),
        )
    if detail.series is not None:
        what[_("Repeats")] = words.series(detail.series)
    if detail.origin:
        whence[_("File")] = detail.origin
    if detail.others_in_frame:
        whence[_("Same frame")] = ngettext(
            "{number} other suspicious place", "{number} other suspicious places", detail.others_in_frame
        )
    return where, what, whence


def show_facts(facts: dict[str, str]) -> None:
    st.markdown("  \n".join(f"**{name}** {words.plain(value)}" for name, value in facts.items()))


def show_history(detail: DefectDetail) -> None:
    st.markdown(_("**History**"))
    if not detail.history:
        st.caption(_("Nobody has reviewed this defect yet."))
    for review in reversed(detail.history):
        st.caption(
            f"{shell.clock(review.at)} · **{words.sentence(words.act(review.act, review.state))}** · "
            f"{words.plain(review.by)}"
        )
    if detail.item.state == "rejected" and not detail.learned:
        st.caption(
            _("Not learned yet: the picture shows another place that is not a false alarm, or no picture was kept.")
        )


# --- others --------------------------------------------------------------------------------------------------------


def show_strip(detail: DefectDetail, wanted: DefectFilter) -> None:
    """Others to compare it with, to merge with it, or its own pieces to split it by."""
    item = detail.item
    strip = shell.segments(_("Compare with"), "show", {key: _(text) for key, text in STRIPS.items()}, page="one")
    match strip:
        case "near":
            show_nearby(item)
        case "similar":
            show_similar(item)
        case "pieces":
            show_pieces(item)
        case _:
            rank = data.rank_of(wanted, item.id)
            items = [each for each in data.list_defects(wanted, BESIDE + 1, rank)[0] if each.id != item.id]
            card_grid(items[:BESIDE], name="queue", choose=False)
            if not items:
                st.caption(_("Nothing comes after this one."))


def show_nearby(item: DefectItem) -> None:
    items = data.nearby_defects(item.id, BESIDE)
    if not items:
        st.caption(_("No other defect within {distance} of it.", distance=words.metres(10_000, ".0f")))
        return
    chosen = chosen_of(items, name="near")
    whole: dict[int, int | None] = {item.id: item.version}
    whole |= chosen
    shell.act_button(
        _("Merge with defect {id}", id=item.id),
        icon=":material/call_merge:",
        disabled=not chosen,
        help=_("Tick what is part of the same defect"),
        on_click=merge_and_open,
        args=(whole,),
    )
    card_grid(items, name="near", choose=True)


def show_similar(item: DefectItem) -> None:
    found = data.similar_defects(item.id, BESIDE)
    if not found:
        st.caption(_("Nothing to compare with: what this defect looks like was not kept, or it is the only one."))
        return
    searched = figure(COMPARED, ",")
    st.caption(_("The nearest of the latest {number} defects, of all lines and styles.", number=searched))
    notes = [_("{share} % alike", share=figure(100 * max(0.0, cosine), ".0f")) for _other, cosine in found]
    card_grid([other for other, _cosine in found], name="similar", choose=False, notes=notes)


def show_pieces(item: DefectItem) -> None:
    pieces = data.pieces_of(item.id)
    if len(pieces) < 2:
        st.caption(_("It is one piece, seen in one frame: there is nothing to split."))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.empty()
        st.caption(_("Tick what is another defect. What comes later joins the part that it lies nearer to."))
    ticked = piece_grid(pieces, name=f"piece.{item.id}.{item.version}")
    with place:
        shell.act_button(
            _("Split off {pieces}", pieces=ngettext("{number} piece", "{number} pieces", len(ticked))),
            icon=":material/call_split:",
            disabled=not 0 < len(ticked) < len(pieces),
            on_click=split,
            args=(item.id, item.version, ticked),
        )


def merge_and_open(chosen: dict[int, int | None]) -> None:
    """Makes one defect of several (number -> version looked at) and shows it."""
    try:
        joined = data.merge_defects(chosen)
    except LoomwatchError as error:
        acts.refuse(str(error))
        return
    acts.note(
        (joined,), _("{chosen} defects are now defect {defect_id}", chosen=len(chosen), defect_id=joined.defect_id)
    )
    open_defect(joined.defect_id)


def split(defect_id: int, version: int, pieces: list[tuple[int, int]]) -> None:
    try:
        parts = data.split_defect(defect_id, pieces, expected=version)
    except LoomwatchError as error:
        acts.refuse(str(error))
        return
    found = [detail.item for number in parts if (detail := data.defect(number)) is not None]
    acts.note(
        (acts.Parted(tuple((each.id, each.version) for each in found)),),
        _(
            "Defect {defect_id} is now defects {parts} and {parts2}",
            defect_id=defect_id,
            parts=parts[0],
            parts2=parts[1],
        ),
    )
    go_to(parts[0])
