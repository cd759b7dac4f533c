"""Samples: the normal cloth that models learn from, what is held and why, more of it; how sensitive styles are."""

from typing import Literal

import streamlit as st

from dashboard import data, sample_data, shell, words
from dashboard.defect_cards import card_grid
from dashboard.language import _, figure, ngettext
from dashboard.stored_sentences import told
from dashboard.units import units
from inspection.errors import LoomwatchError
from inspection.language import N_
from storage.sample_captures import GOLDEN_METRES
from storage.sample_upload import MOST_BYTES, MOST_FILES
from storage.samples import Reason, Sample, SampleFilter, SampleState
from storage.sensitivity import LEAST, MOST, Sensitivity

PARTS = {
    "gallery": N_("Gallery"),
    "give": N_("Give more"),
    "sensitivity": N_("Sensitivity"),
    "confirmed": N_("Confirmed defects"),
}
STATES = {
    "accepted": (N_("Learned"), ":material/check_circle:", "green"),
    "held": (N_("Held"), ":material/pan_tool:", "orange"),
    "waits": (N_("Waits for the guard"), ":material/schedule:", "gray"),
    "refused": (N_("Refused"), ":material/block:", "red"),
}
REASONS = {
    "score": N_("the running model scores it higher than normal fabric, at {value} times its limit"),
    "confirmed": N_("confirmed defect {about} lies in it"),
    "near": N_("confirmed defect {about} lies {value} from it"),
    "unreviewed": N_("defect {about} lies in it, which nobody has reviewed"),
    "alike": N_("its strongest place looks like confirmed defect {about}"),
    "duplicate": N_("nearly the same picture as sample {about}"),
    "refused_before": N_("nearly the same picture as sample {about}, which was refused"),
    "unlike": N_("it is unlike other samples of its style, at {value} times what is usual"),
    "strange": N_("it differs from the rest of its golden roll"),
    "chance": N_("taken by chance, nobody has looked at it"),
    "choose": N_("taken from a running camera, nobody has looked at it"),
    "unreadable": N_("its picture cannot be read"),
}
HELD_FOR = {
    "score": N_("high score"),
    "confirmed": N_("confirmed defect in it"),
    "near": N_("near a confirmed defect"),
    "unreviewed": N_("unreviewed defect in it"),
    "alike": N_("looks like a confirmed defect"),
    "duplicate": N_("near duplicate"),
    "refused_before": N_("refused before"),
    "unlike": N_("unlike other samples"),
    "strange": N_("unlike its golden roll"),
    "chance": N_("nobody has looked"),
    "choose": N_("from a running camera"),
    "unreadable": N_("unreadable"),
    "asked": N_("staff asked"),
}
A_PAGE = 24
CARD_PX = 180
MOST_LOST = 12
LEAST_EVENTS = 3  # false alarms below which a rate is a guess


def show_page() -> None:
    st.title(_("Samples"), anchor=False)
    part = choose_part()
    if part == "give":
        show_captures()
        show_past()
        show_upload()
    elif part == "sensitivity":
        show_sensitivity()
    elif part == "confirmed":
        show_confirmed()
    else:
        show_gallery()


def choose_part() -> str:
    """In the address."""
    wanted = st.query_params.get("part", "gallery")
    chosen = st.segmented_control(
        _("Part"),
        list(PARTS),
        default=wanted if wanted in PARTS else "gallery",
        required=True,
        format_func=lambda key: _(PARTS[key]),
        key="samples.part",
        label_visibility="collapsed",
    )
    shell.remember("part", chosen or "gallery", default="gallery")
    return chosen or "gallery"


# --- gallery -------------------------------------------------------------------------------------------------------


def show_gallery() -> None:
    counts = sample_data.counts()
    if not counts:
        st.info(
            _("**No samples yet.** Give normal cloth under *Give more*, or call a false alarm one on the page Review."),
            icon=":material/photo_library:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        style = shell.select(
            _("Style"),
            "style",
            {"": _("all styles")} | {name: name for name in sorted(counts)},
            page="samples",
            width=220,
        )
        own = [each for name, each in counts.items() if style in ("", name)]
        numbers = {state: sum(each[state] for each in own) for state in STATES}
        state = shell.select(
            _("State"),
            "state",
            {key: f"{_(STATES[key][0])} ({figure(numbers[key], ',')})" for key in STATES},
            page="samples",
            width=240,
        )
        source = shell.select(
            _("Source"),
            "source",
            {"": _("all sources")} | {key: _(text) for key, text in sample_data.SOURCES.items()},
            page="samples",
            width=220,
        )
    if changed := st.session_state.pop("samples.told", None):
        bad = st.session_state.pop("samples.bad", False)
        (st.warning if bad else st.success)(changed, icon=":material/info:" if bad else ":material/check:")
    if numbers["held"]:
        why = ", ".join(
            f"{_(HELD_FOR.get(code, code))}: {figure(number, ',')}"
            for code, number in sample_data.held_for(style).items()
        )
        held = ngettext("{number} sample is held", "{number} samples are held", numbers["held"])
        st.warning(_("**{held}** and not learned: {why}.", held=held, why=why), icon=":material/pan_tool:")
    if state == "waits" and numbers["waits"]:
        st.caption(_("The guard looks at these within a minute where a trainer runs, and before the next training."))
    page = max(0, (shell.address_number("page") or 1) - 1)
    wanted = SampleFilter(style=style, state=state, source=source, active=state != "refused")
    found, total = sample_data.page_of(wanted, A_PAGE, page * A_PAGE)
    if not total:
        st.info(_("No sample is like this. Choose another state or source."), icon=":material/filter_alt:")
        return
    turn_pages(total, page, key=f"samples.page.{style}.{state}.{source}")
    chosen = show_cards(found)
    show_acts(found, chosen, state)
    if chosen:
        show_move(chosen)
    if len(chosen) == 1:
        show_part(next(sample for sample in found if sample.id in chosen))


def turn_pages(total: int, page: int, *, key: str) -> None:
    """Which one is shown, from 0, is in the address. Above the cards: an element of a kind that the browser meets only
    after them holds all of them back for 0.3 s."""
    pages = max(1, -(-total // A_PAGE))
    if page >= pages:  # of other filters
        shell.remember("page", str(pages), default="1")
        st.rerun()
    if pages > 1:
        own = f"{key}.{page}.{pages}"
        st.pagination(pages, default=page + 1, key=own, on_change=turn, args=(own,))


def turn(key: str) -> None:
    shell.remember("page", str(st.session_state[key]), default="1")


def show_cards(found: list[Sample]) -> list[int]:
    """Side by side; what is ticked."""
    ticked = []
    with st.container(horizontal=True, gap="small"):
        for sample in found:
            with st.container(border=True, width=CARD_PX + 34, gap="xsmall"):
                small = sample_data.thumbnail(sample.picture)
                if small is not None:
                    st.image(small, width=CARD_PX, alt=_("Sample {number}", number=sample.id))
                else:
                    st.caption(_("Its picture cannot be shown"))
                if st.button(
                    _("Whole picture"), key=f"samples.whole.{sample.id}", icon=":material/zoom_in:", type="tertiary"
                ):
                    show_whole(sample)
                label, symbol, colour = STATES[sample.state if sample.active else "refused"]
                stands = f":{colour}-badge[{symbol} {_(label)}]"
                st.caption(f"{stands}  \n{provenance(sample)}")
                for reason in sample.reasons if sample.state == "held" else ():
                    st.caption(f":orange[{words.plain(words.sentence(in_words(reason)))}]")
                if st.checkbox(_("Choose {number}", number=sample.id), key=f"samples.tick.{sample.id}.{sample.state}"):
                    ticked.append(sample.id)
    return ticked


def show_whole(sample: Sample) -> None:
    """In front of the page."""

    @st.dialog(_("Sample {number}", number=sample.id), width="large")
    def look() -> None:
        size = sample_data.picture_size(sample.picture)
        whole = sample_data.part_shown(sample.picture, (0, size[0], 0, size[1])) if size is not None else None
        if whole is None:
            st.caption(_("Its picture cannot be shown"))
        else:
            st.image(whole, alt=_("Sample {number}", number=sample.id))
        st.caption(provenance(sample))

    look()


def provenance(sample: Sample) -> str:
    """Style, source, where and when, who gave it, and the score then: a line each."""
    at, scored = sample.captured, sample.scored
    lines = [f"**{words.plain(sample.style)}** · {_(sample_data.SOURCES.get(sample.source, sample.source))}"]
    if at is not None:
        lines.append(
            _("{roll}, {camera}, at {metres}", roll=words.plain(at.roll), camera=words.plain(at.camera),
              metres=words.metres(at.y0_mm))
        )  # fmt: skip
    when = shell.clock(at.captured_at if at else sample.created_at)
    lines.append(_("{who}, {when}", who=words.plain(words.who(sample.by)), when=when))
    if sample.why:
        lines.append(words.plain(told(sample.why)))
    if scored is not None:
        lines.append(
            _("{ratio} of the limit by {model}", ratio=figure(scored.ratio, ".2f"), model=words.plain(scored.model))
        )
    if sample.decided_by:
        lines.append(_("decided by {who}", who=words.plain(words.who(sample.decided_by))))
    return "  \n".join(lines)


def in_words(reason: Reason) -> str:
    if reason.code == "asked":
        return reason.text
    value = words.millimetres(reason.value) if reason.code == "near" else figure(reason.value, ".2f")
    return _(REASONS.get(reason.code, reason.code), about=reason.about, value=value)


def show_acts(found: list[Sample], chosen: list[int], state: str) -> None:
    """On what is ticked, or on all that is shown."""
    ids = chosen or [sample.id for sample in found]
    what = (
        ngettext("{number} chosen", "{number} chosen", len(chosen))
        if chosen
        else ngettext("the one shown", "all {number} shown", len(ids))
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if state != "accepted" and shell.act_button(
            _("Accept {what}", what=what),
            least="quality",
            icon=":material/check:",
            key="samples.accept",
            type="primary",
        ):
            decide(ids, "accepted")
        out = _("Take {what} out", what=what) if state == "accepted" else _("Refuse {what}", what=what)
        if state != "refused" and shell.act_button(out, least="quality", icon=":material/block:", key="samples.refuse"):
            decide(ids, "refused")
        if state not in ("held", "refused") and shell.act_button(
            _("Hold {what}", what=what), least="quality", icon=":material/pan_tool:", key="samples.hold"
        ):
            decide(ids, "held")


def show_move(chosen: list[int]) -> None:
    """For those that came under the wrong style."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        style = st.selectbox(_("They are of style"), data.style_names(), key="samples.move.style", width=220)
        what = ngettext("{number} chosen", "{number} chosen", len(chosen))
        if shell.act_button(
            _("Move {what}", what=what),
            least="quality",
            icon=":material/drive_file_move:",
            key="samples.move",
            help=_("They wait for the guard again."),
        ):
            moved = sample_data.move(chosen, style)
            st.session_state["samples.told"] = ngettext("{number} sample changed.", "{number} samples changed.", moved)
            st.rerun()


def decide(ids: list[int], state: SampleState) -> None:
    done = sample_data.decide(ids, state)
    changed = ngettext("{number} sample changed.", "{number} samples changed.", done.done)
    more = " " + words.plain(" · ".join(map(told, done.refused[:3]))) if done.refused else ""
    st.session_state["samples.told"], st.session_state["samples.bad"] = changed + more, bool(done.refused)
    st.rerun()


def show_part(sample: Sample) -> None:
    """To learn a part of the ticked picture, and not the rest."""
    size = sample_data.picture_size(sample.picture)
    if size is None or sample.source == "review":
        return
    width, height = size
    with st.container(border=True):
        st.subheader(_("Only a part of sample {number}", number=sample.id), anchor=False)
        st.caption(
            _("The part becomes a sample of its own, with its place on the roll. The whole picture is refused then.")
        )
        left, right = st.slider(_("Across, px"), 0, width, (0, width), key=f"samples.across.{sample.id}")
        top, bottom = st.slider(_("Along, px"), 0, height, (0, height), key=f"samples.along.{sample.id}")
        box_px = left, right, top, bottom
        if (shown := sample_data.part_shown(sample.picture, box_px)) is not None:
            st.image(shown, alt=_("Sample {number}, dark outside the part", number=sample.id))
        if shell.act_button(_("Take this part"), least="quality", icon=":material/crop:", key="samples.part.take"):
            try:
                part = sample_data.add_part(sample.id, box_px)
            except LoomwatchError as error:
                st.error(words.plain(told(str(error))), icon=":material/error:")
                return
            st.session_state["samples.told"] = _("The part waits for the guard as sample {number}.", number=part.id)
            st.rerun()


# --- giving --------------------------------------------------------------------------------------------------------


def show_captures() -> None:
    with st.container(border=True):
        st.subheader(_("From a running camera"), anchor=False)
        st.caption(
            _(
                "A golden roll: one frame of each of the next metres becomes a sample of its style. "
                "Or the next frame alone, which you then look at and accept."
            )
        )  # fmt: skip
        cameras = data.camera_names()
        if not cameras:
            st.info(
                _("No camera has delivered cloth yet: set one up on the page Set up, or give files below."),
                icon=":material/videocam_off:",
            )
            return
        with st.form("samples.capture", border=False):
            left, middle, right = st.columns(3)
            camera = left.selectbox(_("Camera"), cameras, key="samples.camera")
            with middle:
                style = ask_style(key="samples.style")
            least, most = GOLDEN_METRES
            metres = right.select_slider(
                _("Length"), range(least, most + 1), 30, format_func=words.golden_roll, key="samples.metres"
            )
            needed = shell.needs("quality")
            with st.container(horizontal=True):
                roll = st.form_submit_button(
                    _("Start the golden roll"),
                    type="primary",
                    key="samples.golden",
                    disabled=needed is not None,
                    help=needed,
                )
                frame = st.form_submit_button(
                    _("Take the next frame"), key="samples.frame", disabled=needed is not None, help=needed
                )
        if roll or frame:
            try:
                sample_data.start_capture(camera or "", style, metres if roll else 0)
            except LoomwatchError as error:
                st.error(words.plain(told(str(error))), icon=":material/error:")
        st.fragment(show_running, run_every=data.refresh_s())()


def show_running() -> None:
    """Captures that run, and how the last ones ended. Redrawn in place."""
    with shell.told():
        ends = {"done": _("done"), "stopped": _("stopped"), "failed": _("failed")}
        for capture in sample_data.captures():
            what = _("Golden roll") if capture.source == "roll" else _("One frame")
            text = f"{what}: **{words.plain(capture.style)}**, {words.plain(capture.camera)}, " + words.taken(capture)
            if capture.state == "running":
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.progress(min(1.0, capture.taken / capture.metres), text=text)
                    if shell.act_button(_("Stop"), least="quality", key=f"samples.stop.{capture.id}"):
                        sample_data.stop_capture(capture.id)
                        st.rerun()
            else:
                st.caption(f"{text} · {ends.get(capture.state, capture.state)}, {shell.clock(capture.started_at)}")


def show_past() -> None:
    """Of the last metres: choose a frame, and a part of it."""
    cameras = data.camera_names()
    if not cameras:
        return
    with st.container(border=True):
        st.subheader(_("From past frames"), anchor=False)
        st.caption(_("Workers keep one whole frame every few metres of each camera, the last ones only."))
        camera = st.selectbox(_("Camera"), cameras, key="samples.past.camera", width=280)
        frames = {each.key: each for each in sample_data.past_frames(camera or "")}
        if told_now := st.session_state.pop("samples.past.told", None):
            st.success(told_now, icon=":material/check:")
        if not frames:
            st.info(_("No frame of this camera is kept yet."), icon=":material/photo_library:")
            return
        frame = frames[st.selectbox(
            _("Frame"),
            list(frames),
            format_func=lambda key: _(
                "{when}, {roll}, at {metres}, {ratio} of the limit",
                when=shell.clock(frames[key].captured.captured_at),
                roll=frames[key].captured.roll,
                metres=words.metres(frames[key].captured.y0_mm),
                ratio=figure(frames[key].scored.ratio, ".2f"),
            ),
            key=f"samples.past.frame.{camera}",
        )]  # fmt: skip
        size = sample_data.picture_size(frame.key)
        if size is None:
            st.info(_("Other cloth took the place of this frame. Choose another."), icon=":material/history:")
            return
        width, height = size
        left, right = st.slider(_("Across, px"), 0, width, (0, width), key=f"samples.past.across.{frame.key}")
        top, bottom = st.slider(_("Along, px"), 0, height, (0, height), key=f"samples.past.along.{frame.key}")
        box_px = left, right, top, bottom
        if (shown := sample_data.part_shown(frame.key, box_px)) is not None:
            st.image(shown, alt=_("A past frame, dark outside the part"))
        style = ask_style(frame.style, key=f"samples.past.style.{frame.key}", width=280)
        why = st.text_input(_("Why"), max_chars=200, key=f"samples.past.why.{frame.key}")
        if shell.act_button(_("Take it"), least="quality", icon=":material/crop:", key="samples.past.take"):
            try:
                sample = sample_data.take_past_frame(frame, box_px, style=style, why=why)
            except LoomwatchError as error:
                st.error(words.plain(told(str(error))), icon=":material/error:")
                return
            st.session_state["samples.past.told"] = _("It waits for the guard as sample {number}.", number=sample.id)
            st.rerun()


def show_upload() -> None:
    with st.container(border=True), st.form("samples.upload", border=False, clear_on_submit=True):
        st.subheader(_("From files"), anchor=False)
        files = st.file_uploader(
            _("Pictures of normal cloth"),
            type=["png", "jpg", "jpeg", "tif", "tiff", "bmp"],
            accept_multiple_files=True,
            key="samples.files",
            max_upload_size=MOST_BYTES // 2**20,
            help=_("At most {files} at a time, of {mb} MB each.", files=MOST_FILES, mb=MOST_BYTES // 2**20),
        )
        left, right = st.columns(2)
        with left:
            style = ask_style(key="samples.upload.style")
        scale = right.number_input(
            _("Millimetres a pixel"), 0.001, 99.0, running_scale(), format="%.3f", key="samples.scale",
            help=_("How much cloth one pixel shows: the model in charge takes pictures of its own scale only."),
        )  # fmt: skip
        needed = shell.needs("quality")
        sent = st.form_submit_button(
            _("Give these pictures"), key="samples.send", disabled=needed is not None, help=needed
        )
    if not sent:
        return
    if not files:
        st.error(_("Choose the pictures first."), icon=":material/error:")
        return
    if len(files) > MOST_FILES:
        st.error(_("At most {files} pictures at a time.", files=MOST_FILES), icon=":material/error:")
        return
    taken = 0
    for file in files:
        try:
            sample_data.upload(file.name, file.getvalue(), style=style, mm_per_px=scale)
            taken += 1
        except LoomwatchError as error:
            st.error(words.plain(told(str(error))), icon=":material/error:")
    if taken:
        st.success(ngettext("{number} picture waits for the guard.", "{number} pictures wait for the guard.", taken))


def ask_style(known: str = "", *, key: str, width: int | Literal["stretch"] = "stretch") -> str:
    """One that there is, so that nobody writes it in two ways, or a new one."""
    styles = sorted({*data.style_names(), known} - {""})
    chosen: str | None = st.selectbox(
        _("Style"),
        styles,
        index=styles.index(known) if known else None,
        accept_new_options=True,
        placeholder=_("Choose one, or type a new one"),
        key=key,
        width=width,
    )
    return " ".join((chosen or "").split())


def running_scale() -> float:
    model = data.running_model()
    return float(model.manifest["mm_per_px"]) if model is not None else 0.2


# --- sensitivity ---------------------------------------------------------------------------------------------------


def show_sensitivity() -> None:
    known = {each.style: each for each in sample_data.sensitivities()}
    if not known:
        st.info(
            _("**No model is in charge.** Promote one on the page Models; the first one is made on the page Set up."),
            icon=":material/model_training:",
        )
        return
    style = shell.select(_("Style"), "style", {name: name for name in known}, page="sensitivity", width=280)
    own = known[style]
    cloth = sample_data.last_cloth(style, own.model.name)
    if not cloth.frames:
        st.info(
            _("Model {model} has inspected no cloth of this style yet: there is nothing to replay a change on.",
              model=words.plain(own.model.name)),
            icon=":material/history:",
        )  # fmt: skip
        return
    now, unit = cloth.at(own.threshold), units()
    before = round(unit.per_100_long(now.per_100m), 1)
    wanted = st.number_input(
        _("False alarms per 100 {unit}, at most", unit=unit.long),
        0.0,
        1000.0,
        before,
        step=0.5,
        format="%.1f",
        key=f"sensitivity.{style}.{unit.long}",
        width=280,
        help=_("Alarms that nobody confirmed count as false."),
    )
    unchanged, per_100m = wanted == before, unit.per_100_m(wanted)
    threshold = own.threshold if unchanged else cloth.threshold_for(per_100m, own=own.own, least=LEAST, most=MOST)
    then = cloth.at(threshold)
    st.caption(
        _("Replayed on the last {metres} of this style that {model} inspected ({frames} frames).",
          metres=words.metres(cloth.metres * 1000, ",.1f"), model=words.plain(own.model.name),
          frames=figure(cloth.frames, ","))
    )  # fmt: skip
    with st.grid(4, min_column_width=180):
        st.metric(
            _("False alarms per 100 {unit}", unit=unit.long),
            figure(unit.per_100_long(then.per_100m), ".1f"),
            _change(unit.per_100_long(then.per_100m - now.per_100m), ".1f"),
            delta_color="inverse",
        )
        alarms = [each.rejected + each.unreviewed + each.confirmed + each.more for each in (now, then)]
        st.metric(_("Alarms in all"), figure(alarms[1], ","), _change(alarms[1] - alarms[0], ".0f"), delta_color="off")
        lost = tuple(number for number in then.lost if number not in now.lost)
        st.metric(_("Confirmed defects lost"), figure(len(lost), ","))
        part_of = _("{factor} of the model's", factor=figure(threshold / own.own, ".2f"))
        st.metric(_("Limit"), figure(threshold, ".4f"), part_of,
                  delta_color="off", delta_arrow="off")  # fmt: skip
    if then.per_100m > per_100m and not unchanged:
        st.warning(_("Not even the highest limit allowed gives so few."), icon=":material/warning:")
    if cloth.metres * per_100m / 100 < LEAST_EVENTS:
        st.caption(
            _("So little cloth shows such a rate only roughly: it would have given less than {least} false alarms.",
              least=LEAST_EVENTS)
        )  # fmt: skip
    if then.more:
        st.caption(
            ngettext(
                "{number} alarm more is read from the score grid of 25 mm cells: nobody has seen it, and it has "
                "no picture.",
                "{number} alarms more are read from the score grid of 25 mm cells: nobody has seen them, and they have "
                "no pictures.",
                then.more,
            )
        )
    elif threshold > own.threshold:
        st.caption(_("Exact: the stored defects' own scores, compared with the higher limit."))
    if lost:
        st.error(
            ngettext(
                "{number} confirmed defect would not have been found:",
                "{number} confirmed defects would not have been found:",
                len(lost),
            ),
            icon=":material/visibility_off:",
        )
        card_grid(sample_data.defects_of(lost[:MOST_LOST]), name="sensitivity", choose=False)
    show_save(own, threshold, None if unchanged else per_100m, cloth.metres)


def _change(by: float, form: str) -> str | None:
    return figure(by, f"+{form}") if abs(by) > 1e-9 else None


def show_save(own: Sensitivity, threshold: float, per_100m: float | None, metres: float) -> None:
    needed = shell.needs("quality")
    with st.form(f"sensitivity.form.{own.style}", border=True):
        reason = st.text_input(_("Why"), max_chars=200, key="sensitivity.reason")
        with st.container(horizontal=True):
            save = st.form_submit_button(
                _("Save"),
                type="primary",
                key="sensitivity.save",
                disabled=needed is not None or per_100m is None,
                help=needed,
            )
            back = st.form_submit_button(
                _("Back to the model's own limit"), key="sensitivity.back",
                disabled=needed is not None or own.factor == 1.0, help=needed,
            )  # fmt: skip
        st.caption(_("Workers take it within seconds, between two frames. Another model comes with limits of its own."))
    if not (save or back):
        return
    if not reason.strip():
        st.error(_("Write why, for those who look for it later."), icon=":material/edit:")
        return
    sample_data.set_sensitivity(
        own.style, 1.0 if back else threshold / own.own, None if back else per_100m, metres, reason
    )
    st.session_state.pop(f"sensitivity.{own.style}.{units().long}", None)
    st.rerun()


# --- confirmed defects -----------------------------------------------------------------------------------------------


def show_confirmed() -> None:
    """Of pruned rolls, which no page shows any more: a wrong one would be held against every model to come."""
    if told_before := st.session_state.pop("samples.confirmed.told", None):
        st.success(told_before, icon=":material/check:")
    styles = sample_data.kept_styles()
    if not styles:
        st.info(
            _(
                "**No confirmed defect of a pruned roll.** When a roll is pruned, its confirmed defects stay here: "
                "models are compared by them, and none is learned as normal. Those of other rolls are on the page "
                "Review."
            ),
            icon=":material/history:",
        )
        return
    st.caption(
        _(
            "Models are compared by these, and none is learned as normal, though their rolls were pruned. One that was "
            "confirmed by mistake is taken out here; those of other rolls are on the page Review."
        )
    )
    style = shell.select(
        _("Style"), "style", {"": _("all styles")} | {name: name for name in styles}, page="confirmed", width=220
    )
    page = max(0, (shell.address_number("page") or 1) - 1)
    found, total = sample_data.kept_defects(style, A_PAGE, page * A_PAGE)
    turn_pages(total, page, key=f"samples.confirmed.page.{style}")
    chosen = []
    with st.container(horizontal=True, gap="small"):
        for defect in found:
            with st.container(border=True, width=CARD_PX + 34, gap="xsmall"):
                small = sample_data.thumbnail(defect.crop) if defect.crop else None
                if small is not None:
                    st.image(small, width=CARD_PX, alt=_("Defect {number}", number=defect.id))
                else:
                    st.caption(_("Its picture cannot be shown"))
                st.caption(
                    f"**{words.plain(defect.style)}**  \n"
                    + _("{roll}, {camera}, at {metres}", roll=words.plain(defect.line),
                        camera=words.plain(defect.camera), metres=words.metres(defect.y0_mm))
                    + f"  \n{shell.clock(defect.captured_at)}"
                )  # fmt: skip
                if st.checkbox(_("Choose {number}", number=defect.id), key=f"samples.confirmed.tick.{defect.id}"):
                    chosen.append(defect.id)
    if chosen:
        show_take_out(chosen)


def show_take_out(chosen: list[int]) -> None:
    needed = shell.needs("quality")
    with st.form("samples.confirmed.form", border=True):
        reason = st.text_input(_("Why"), max_chars=200, key="samples.confirmed.reason")
        what = ngettext("{number} chosen", "{number} chosen", len(chosen))
        sent = st.form_submit_button(
            _("Take {what} out", what=what),
            icon=":material/block:",
            key="samples.confirmed.out",
            disabled=needed is not None,
            help=needed,
        )
    if not sent:
        return
    if not reason.strip():
        st.error(_("Write why, for those who look for it later."), icon=":material/edit:")
        return
    sample_data.take_out(chosen, reason)
    st.session_state["samples.confirmed.told"] = ngettext(
        "{number} defect is taken out.", "{number} defects are taken out.", len(chosen)
    )
    st.rerun()


with shell.page(_("Samples")):
    show_page()
