"""Samples of normal fabric: give, list, look at, decide, capture; and the frozen sets that models came from."""

from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from inspection.errors import SettingsError
from inspection.settings import StoreSettings, TrainerSettings, load
from loomwatch.terminal import console, example, folder, log_to_terminal, progress_bar, write_json
from storage.database import Database, open_database

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
BY = typer.Option("operator", "--by", help="Who does it, for the record.")
IDS = typer.Argument(help="Numbers of samples.")
JSON = typer.Option(None, "--json", help="Write what is shown to this file.")


def register(app: typer.Typer) -> None:
    samples = typer.Typer(help="Normal fabric to learn from.", no_args_is_help=True)
    samples.command("add", epilog=example("loomwatch samples add data/aitex/tiles --mm-per-px 0.2"))(add)
    samples.command("list", epilog=example("loomwatch samples list --state held --style denim"))(list_some)
    samples.command("show", epilog=example("loomwatch samples show 17"))(show)
    samples.command("accept", epilog=example("loomwatch samples accept 17 18"))(accept)
    samples.command("refuse", epilog=example("loomwatch samples refuse 17 --reason 'a stain'"))(refuse)
    samples.command("hold", epilog=example("loomwatch samples hold 17 --reason 'is this twill?'"))(hold)
    samples.command("move", epilog=example("loomwatch samples move 17 18 --style denim"))(move)
    samples.command("part", epilog=example("loomwatch samples part 17 --right 512 --bottom 256"))(part)
    samples.command("past", epilog=example("loomwatch samples past --camera cam-1 --save frames"))(past)
    samples.command("take", epilog=example("loomwatch samples take 00007-s1-412 --camera cam-1 --style denim"))(take)
    samples.command("guard", epilog=example("loomwatch samples guard"))(guard)
    samples.command("golden", epilog=example("loomwatch samples golden denim --camera cam-1 --metres 30"))(golden)
    samples.command("record", hidden=True)(record)
    samples.command("stop", epilog=example("loomwatch samples stop 3"))(stop)
    sets = typer.Typer(help="Frozen sets: what each training learned from.", no_args_is_help=True)
    sets.command("list", epilog=example("loomwatch samples sets list"))(list_sets)
    sets.command("show", epilog=example("loomwatch samples sets show 4 --json set.json"))(show_set)
    samples.add_typer(sets, name="sets")
    app.add_typer(samples, name="samples")


def _open(data_dir: Path | None) -> tuple[StoreSettings, Database]:
    store = load(StoreSettings, data_dir=data_dir)
    return store, open_database(store.database)


def add(
    data: Path = typer.Argument(help="Folder in the MVTec AD layout: STYLE/train/good/*."),
    mm_per_px: float = typer.Option(0.2, min=0.001, max=99.0, help="Size of a pixel on the cloth in mm."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Add pictures of normal fabric for retraining."""
    from cras_core.dataset import groups_of, read_layout
    from loomwatch.normals import add_picture
    from storage.pictures import PictureStore

    store, database = _open(data_dir)
    pictures = PictureStore(store.pictures)
    layout = read_layout(folder(data, what="data folder"))
    for style, content in layout.classes.items():
        groups = groups_of(content.train_good)
        for path, group in zip(content.train_good, groups, strict=True):
            add_picture(database, pictures, path, style=style, roll_group=group, mm_per_px=mm_per_px, by=by)
        console.print(f"{style}: {len(content.train_good)} samples")


def list_some(
    style: str = typer.Option("", help="Only this style's."),
    source: str = typer.Option(
        "", help="Only from there: golden, upload, roll, frame, past, part, review or reservoir."
    ),
    state: str = typer.Option("", help="Only these: waits, held, accepted or refused."),
    each: bool = typer.Option(False, "--each", help="One line a sample; without it, and without a filter, counts."),
    limit: int = typer.Option(100, min=1, max=100_000, help="Lines at most, the latest samples first."),
    json_file: Path = JSON,
    data_dir: Path = DATA_DIR,
) -> None:
    """Count the samples of each style, or list them with where they came from and why they are held."""
    from storage import samples

    for name, value, known in (("--source", source, samples.SOURCES), ("--state", state, samples.STATES)):
        if value and value not in known:
            raise SettingsError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    _, database = _open(data_dir)
    if not (each or style or source or state):
        return _count(database, json_file)
    wanted = samples.SampleFilter(style=style, source=source, state=state, active=state != "refused")
    found, total = samples.page_of_samples(database, wanted, limit=limit, offset=0)
    table = Table("sample", "style", "source", "state", "roll", "camera", "position m", "score", "by", "why")
    for sample in found:
        at, scored = sample.captured, sample.scored
        table.add_row(
            str(sample.id),
            sample.style,
            sample.source,
            sample.state,
            at.roll if at else sample.roll_group,
            at.camera if at else "",
            f"{at.y0_mm / 1000:.2f}" if at else "",
            f"{scored.ratio:.2f}" if scored else "",
            sample.by,
            "; ".join(map(samples.in_words, sample.reasons)) or sample.why,
        )
    console.print(table)
    if total > len(found):
        console.print(f"{total - len(found)} more: --limit shows them")
    for code, number in samples.count_reasons(found).items() if state == "held" else ():
        console.print(f"held for {code}: {number}")
    write_json(json_file, [_facts(sample) for sample in found])


def _count(database: Database, json_file: Path | None) -> None:
    from storage import samples

    counts = samples.count_samples(database)
    table = Table("style", *samples.STATES)
    for style, own in sorted(counts.items()):
        table.add_row(style, *(str(own[state]) for state in samples.STATES))
    console.print(table)
    write_json(json_file, counts)


def show(
    sample: int = typer.Argument(help="Number of the sample."), json_file: Path = JSON, data_dir: Path = DATA_DIR
) -> None:
    """Where a sample came from, what was decided about it, and why."""
    from storage.samples import get_sample

    _, database = _open(data_dir)
    facts = _facts(get_sample(database, sample))
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, "; ".join(value) if isinstance(value, list) else str(value))
    console.print(table)
    write_json(json_file, facts)


def accept(samples: list[int] = IDS, by: str = BY, data_dir: Path = DATA_DIR) -> None:
    """Let samples be learned. One in which an unreviewed or confirmed defect lies is not."""
    _decide(samples, "accepted", by=by, reason="", data_dir=data_dir)


def refuse(
    samples: list[int] = IDS,
    reason: str = typer.Option("", "--reason", help="For the record."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Keep samples from being learned, those accepted before among them."""
    _decide(samples, "refused", by=by, reason=reason, data_dir=data_dir)


def hold(
    samples: list[int] = IDS,
    reason: str = typer.Option(..., "--reason", help="What to look at."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Ask for a second look at samples; they are not learned meanwhile."""
    _decide(samples, "held", by=by, reason=reason, data_dir=data_dir)


def move(
    samples: list[int] = IDS,
    style: str = typer.Option(..., "--style", help="Which style they are of."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Put samples under another style. They wait for the guard again."""
    from storage.samples import move_samples

    _, database = _open(data_dir)
    console.print(f"{move_samples(database, samples, style=style, by=by)} moved to {style}", markup=False)


def part(
    sample: int = typer.Argument(help="Number of the sample."),
    right: int = typer.Option(..., "--right", min=1, help="Where it ends across, px."),
    bottom: int = typer.Option(..., "--bottom", min=1, help="Where it ends along the roll, px."),
    left: int = typer.Option(0, "--left", min=0, help="Where it begins."),
    top: int = typer.Option(0, "--top", min=0, help="Where it begins."),
    why: str = typer.Option("", "--why", help="For the record."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Take a part of a sample's picture as a sample of its own. The whole picture is refused then."""
    from storage.pictures import PictureStore
    from storage.sample_parts import add_part

    store, database = _open(data_dir)
    box_px = left, right, top, bottom
    taken = add_part(database, PictureStore(store.pictures), sample, box_px=box_px, by=by, why=why)
    console.print(f"sample {taken.id} is a part of sample {sample}, which is refused")


def past(
    camera: str = typer.Option(..., "--camera", help="Name of the camera."),
    save: Path = typer.Option(None, "--save", help="Write the pictures into this folder."),
    json_file: Path = JSON,
    data_dir: Path = DATA_DIR,
) -> None:
    """List the whole frames that are kept of a camera's last metres, from which samples can be taken."""
    from storage.past_frames import past_frames
    from storage.pictures import PictureStore

    pictures = PictureStore(load(StoreSettings, data_dir=data_dir).pictures)
    frames = past_frames(pictures, camera)
    table = Table("frame", "captured", "roll", "position m", "style", "model", "score")
    for frame in frames:
        at = frame.captured
        table.add_row(
            frame.name,
            f"{at.captured_at.astimezone():%Y-%m-%d %H:%M:%S}",
            at.roll,
            f"{at.y0_mm / 1000:.2f}",
            frame.style,
            frame.scored.model,
            f"{frame.scored.ratio:.2f}",
        )
    console.print(table if frames else f"no frames of camera {camera} are kept (LOOMWATCH_WORKER_PAST_FRAMES)")
    write_json(json_file, [{"frame": each.name, "roll": each.captured.roll, "position_mm": each.captured.y0_mm,
                            "captured": each.captured.captured_at.isoformat(), "style": each.style,
                            "model": each.scored.model, "score": each.scored.ratio} for each in frames])  # fmt: skip
    if save is not None:
        try:
            save.mkdir(parents=True, exist_ok=True)
            for frame in frames:
                (save / f"{frame.name}.png").write_bytes(pictures.get(frame.key))
        except OSError as error:
            raise SettingsError(f"--save {save}: {error.strerror or error}: choose another folder") from error


def take(
    frame: str = typer.Argument(help="Its name, as loomwatch samples past shows it."),
    camera: str = typer.Option(..., "--camera", help="Name of the camera."),
    style: str = typer.Option(..., "--style", help="Style that it is normal fabric of."),
    left: int = typer.Option(None, "--left", min=0, help="Of a part: where it begins across, px."),
    right: int = typer.Option(None, "--right", min=1, help="Where it ends."),
    top: int = typer.Option(None, "--top", min=0, help="Where it begins along the roll, px."),
    bottom: int = typer.Option(None, "--bottom", min=1, help="Where it ends."),
    why: str = typer.Option("", "--why", help="For the record."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Take a past frame, or a part of it, as a sample. It waits for the guard."""
    from storage.past_frames import past_frames, read_past_picture, take_past_frame
    from storage.pictures import PictureStore

    store, database = _open(data_dir)
    pictures = PictureStore(store.pictures)
    found = next((each for each in past_frames(pictures, camera) if each.name == frame), None)
    if found is None:
        raise SettingsError(
            f"no frame {frame} of camera {camera} is kept: see loomwatch samples past --camera {camera}"
        )
    height, width = read_past_picture(pictures, found).shape[:2]
    box_px = left or 0, width if right is None else right, top or 0, height if bottom is None else bottom
    sample = take_past_frame(database, pictures, found, style=style, by=by, box_px=box_px, why=why)
    console.print(f"sample {sample.id} of {sample.style} waits for the guard")


def _decide(ids: list[int], state: Any, *, by: str, reason: str, data_dir: Path | None) -> None:
    from storage.samples import decide_samples

    _, database = _open(data_dir)
    done = decide_samples(database, ids, state=state, by=by, reason=reason)
    console.print(f"{done.done} {state}")
    if done.refused:
        raise SettingsError("; ".join(done.refused))


def guard(
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    data_dir: Path = DATA_DIR,
) -> None:
    """Have the running model look at all samples that wait, now; every training begins with this."""
    from retraining.guard import guard_samples
    from storage.pictures import PictureStore

    store, database = _open(data_dir)
    pictures, share = PictureStore(store.pictures), load(TrainerSettings).guard_share
    with progress_bar("the guard") as bar:
        done = guard_samples(database, pictures, share=share, device=device, tell=bar.tell)
    console.print(f"{done.looked} samples looked at, {done.held} held, {done.doubtful} became doubtful")


def golden(
    style: str = typer.Argument(help="The new style's name."),
    camera: str = typer.Option(..., "--camera", help="Name of the running camera."),
    metres: int = typer.Option(30, "--metres", help="20 to 50."),
    why: str = typer.Option("", "--why", help="For the record."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Capture a golden roll: one frame of each of the next metres becomes a sample."""
    from storage.sample_captures import start_capture

    if metres < 1:
        raise SettingsError(f"--metres must be 20 to 50, got {metres}")
    _, database = _open(data_dir)
    capture = start_capture(database, camera=camera, style=style, metres=metres, why=why, by=by)
    console.print(f"capture {capture.id}: the next {metres} m of camera {camera} are {style}")


def record(capture: int = typer.Argument(help="Number of the capture."), data_dir: Path = DATA_DIR) -> None:
    """Take a golden roll from the camera of a line that does not run yet; the supervisor starts this by itself."""
    from inspection.line_setup import read_setup
    from loomwatch.golden_roll import record_golden_roll
    from loomwatch.stopping import stop_on_signal
    from loomwatch.supervisor import watch_parent
    from storage.pictures import PictureStore

    store, database = _open(data_dir)
    log_to_terminal("golden roll", store.log_level)
    with stop_on_signal() as stopping:
        watch_parent(stopping)
        setup, pictures = read_setup(store.data_dir), PictureStore(store.pictures)
        record_golden_roll(database, pictures, setup, capture, stopping)


def stop(capture: int = typer.Argument(help="Number of the capture."), by: str = BY, data_dir: Path = DATA_DIR) -> None:
    """End a golden roll early; what was taken stays."""
    from storage.sample_captures import count_taken, stop_capture

    _, database = _open(data_dir)
    stop_capture(database, capture, by=by)
    console.print(f"capture {capture} is stopped, {count_taken(database, capture)} m were taken")


def list_sets(data_dir: Path = DATA_DIR) -> None:
    """The frozen sets, the latest first."""
    from storage import sample_sets

    _, database = _open(data_dir)
    table = Table("set", "frozen", "by", "learned", "held out", "styles", "sha256")
    for each in sample_sets.list_sets(database):
        table.add_row(
            str(each.id),
            f"{each.at.astimezone():%Y-%m-%d %H:%M}",
            each.by,
            str(len(each.learned)),
            str(len(each.held_out)),
            ", ".join(sorted({item.style for item in each.learned})),
            each.sha256[:12],
        )
    console.print(table)


def show_set(
    number: int = typer.Argument(help="Number of the set; a model names its own in its manifest's provenance."),
    json_file: Path = JSON,
    data_dir: Path = DATA_DIR,
) -> None:
    """What a set holds, and whether every picture is still the one it was frozen with."""
    from inspection.errors import StorageError
    from storage.pictures import PictureStore
    from storage.sample_sets import read_item, read_set

    store, database = _open(data_dir)
    frozen, pictures = read_set(database, number), PictureStore(store.pictures)
    table = Table("style", "source", "learned", "held out")
    kinds = sorted({(item.style, item.source) for item in (*frozen.learned, *frozen.held_out)})
    for kind in kinds:
        parts = (frozen.learned, frozen.held_out)
        table.add_row(*kind, *(str(sum((item.style, item.source) == kind for item in part)) for part in parts))
    console.print(table)
    console.print(f"frozen {frozen.at.astimezone():%Y-%m-%d %H:%M} by {frozen.by}, sha256 {frozen.sha256}")
    write_json(json_file, frozen.to_dict())
    damaged = []
    for item in (*frozen.learned, *frozen.held_out):
        try:
            read_item(item, pictures)
        except StorageError as error:
            damaged.append(str(error))
    if damaged:
        raise StorageError(f"{len(damaged)} pictures of set {number} are not as they were: {damaged[0]}")
    console.print("every picture is as it was")


def _facts(sample: Any) -> dict[str, Any]:
    from storage.samples import in_words

    at, scored = sample.captured, sample.scored
    return {
        "sample": sample.id,
        "style": sample.style,
        "state": sample.state if sample.active else f"{sample.state}, taken out",
        "source": sample.source,
        "given by": sample.by,
        "when": sample.created_at.isoformat(timespec="seconds"),
        "why": sample.why,
        "roll": at.roll if at else "",
        "camera": at.camera if at else "",
        "captured": at.captured_at.isoformat(timespec="seconds") if at else "",
        "along the roll, mm": f"{at.y0_mm:.0f} to {at.y1_mm:.0f}" if at else "",
        "across, mm": f"{at.x0_mm:.0f} to {at.x1_mm:.0f}" if at else "",
        "model at the time": scored.model if scored else "",
        "score at the time": f"{scored.score:.4f}, {scored.ratio:.2f} of its limit" if scored else "",
        "held for": [in_words(reason) for reason in sample.reasons],
        "decided by": sample.decided_by or ("the guard" if sample.decided_at else ""),
        "decided": sample.decided_at.isoformat(timespec="seconds") if sample.decided_at else "",
        "group": sample.roll_group,
        "mm per px": sample.mm_per_px,
        "picture": sample.picture,
    }
