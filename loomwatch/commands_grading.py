"""Grading: profiles, what papers say of a roll, its grade and its cut plan."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from inspection.errors import SettingsError
from inspection.settings import StoreSettings, load
from loomwatch.terminal import console, example, write_json
from storage.database import Database, open_database

if TYPE_CHECKING:
    from storage.grading.profile import AnyProfile

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
BY = typer.Option("operator", "--by", help="Who does it, for the record.")
LINE = typer.Option(None, "--line", help="Its textile line, where several have a roll of that name.")


def register(app: typer.Typer) -> None:
    profiles = typer.Typer(help="Grading profiles: list, show, check, add, use.", no_args_is_help=True)
    profiles.command("list", epilog=example("loomwatch profiles list"))(list_profiles)
    profiles.command("show", epilog=example("loomwatch profiles show four-point --out mine.json"))(show_profile)
    profiles.command("check", epilog=example("loomwatch profiles check mine.json"))(check_profile)
    profiles.command("add", epilog=example("loomwatch profiles add mine.json"))(add_profile)
    profiles.command("use", epilog=example("loomwatch profiles use four-point-denim --style denim"))(use_profile)
    app.add_typer(profiles, name="profiles")


def register_on_rolls(rolls: typer.Typer) -> None:
    rolls.command("set", epilog=example("loomwatch rolls set R-1042 --lot L-7 --customer ACME --ticketed-m 120"))(
        set_roll
    )
    rolls.command("grade", epilog=example("loomwatch rolls grade R-1042"))(grade_roll)


def list_profiles(data_dir: Path = DATA_DIR) -> None:
    """List grading profiles and which style is graded by which."""
    from storage.grading import profile_store

    with _open(data_dir) as database:
        stored, choices = profile_store.list_profiles(database), profile_store.list_choices(database)
    chosen = {choice.style: choice.profile for choice in choices}
    chosen.setdefault("", profile_store.DEFAULT)
    table = Table("profile", "version", "system", "unit", "first up to", "used for", "what")
    for each in stored:
        profile = each.profile
        used = [style or "all other styles" for style, name in chosen.items() if name == profile.name]
        table.add_row(
            profile.name,
            str(each.version),
            profile.system,
            profile.unit,
            f"{profile.grades[0].max_points:g} per {profile.limits_per}",
            ", ".join(used),
            profile.description,
        )
    console.print(table)


def show_profile(
    name: str = typer.Argument(help="NAME, or NAME@VERSION for an older one."),
    out: Path = typer.Option(None, help="Write it to this file, to edit and add."),
    data_dir: Path = DATA_DIR,
) -> None:
    """Print a profile with every field."""
    from storage.grading.profile import dump_profile
    from storage.grading.profile_store import read_profile

    with _open(data_dir) as database:
        stored = read_profile(database, name)
    content = dump_profile(stored.profile)
    if out is None:
        console.print(json.dumps(content, indent=2), markup=False, soft_wrap=True)
    else:
        write_json(out, content)
        console.print(f"{stored} is written to {out}", markup=False, soft_wrap=True)


def check_profile(file: Path = typer.Argument(help="Profile as JSON.")) -> None:
    """Say whether a profile can be added, and if not, which field is wrong."""
    profile = _read(file)
    console.print(
        f"{file} is a profile: {profile.name}, {profile.system}, by the {profile.unit}", markup=False, soft_wrap=True
    )


def add_profile(
    file: Path = typer.Argument(help="Profile as JSON."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Store a profile; one whose name is there already becomes its next version."""
    from storage.grading import profile_store

    profile = _read(file)
    with _open(data_dir) as database:
        stored = profile_store.add_profile(database, profile, by=by)
    console.print(f"{stored} grades rolls that end from now on", markup=False, soft_wrap=True)


def use_profile(
    name: str = typer.Argument(help="Name of the profile."),
    style: str = typer.Option("", help="Fabric style; empty: all styles without a profile of their own."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Grade a style, or all others, by a profile from now on."""
    from storage.grading import profile_store

    with _open(data_dir) as database:
        profile_store.choose_profile(database, style=style, profile=name, by=by)
    console.print(
        f"rolls of {style or 'all other styles'} are graded by {name} from now on", markup=False, soft_wrap=True
    )


def set_roll(
    name: str = typer.Argument(help="Name of the roll."),
    line: str = LINE,
    lot: str = typer.Option(None, help="Lot."),
    dye_lot: str = typer.Option(None, help="Dye lot."),
    po: str = typer.Option(None, help="Purchase order."),
    customer: str = typer.Option(None, help="Customer."),
    construction: str = typer.Option(None, help="Weave, composition, weight."),
    loom: str = typer.Option(None, help="Loom or machine it was made on."),
    operator: str = typer.Option(None, help="Who ran it."),
    ticketed_m: float = typer.Option(None, help="Length on its ticket, in m."),
    width_start_mm: float = typer.Option(None, help="Cuttable width at its start, in mm."),
    width_mid_mm: float = typer.Option(None, help="Cuttable width in its middle, in mm."),
    width_end_mm: float = typer.Option(None, help="Cuttable width at its end, in mm."),
    profile: str = typer.Option(None, help="Grade it by NAME or NAME@VERSION; empty: by its style's profile."),
    re_inspection_of: str = typer.Option(None, help="The earlier roll that this one is the re-inspection of."),
    parent_roll: str = typer.Option(None, help="The roll it was cut from."),
    remarks: str = typer.Option(None, help="Remarks, as they stand on the certificate."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Enter what papers say of a roll. Fields that are not named stay as they are."""
    from storage.grading.profile_store import parse_reference
    from storage.roll_details import find_roll, set_details

    given: dict[str, Any] = {
        "lot": lot,
        "dye_lot": dye_lot,
        "po": po,
        "customer": customer,
        "construction": construction,
        "loom": loom,
        "operator": operator,
        "ticketed_mm": None if ticketed_m is None else ticketed_m * 1000,
        "width_start_mm": width_start_mm,
        "width_mid_mm": width_mid_mm,
        "width_end_mm": width_end_mm,
        "re_inspection_of": re_inspection_of,
        "parent_roll": parent_roll,
        "remarks": remarks,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if profile is not None:
        changes["profile"], changes["profile_version"] = parse_reference(profile)
    if not changes:
        raise SettingsError("name at least one field to set: see loomwatch rolls set --help")
    with _open(data_dir) as database:
        set_details(database, find_roll(database, name=name, line=line), by=by, **changes)
    console.print(f"roll {name}: {', '.join(sorted(changes))} entered", markup=False, soft_wrap=True)


def grade_roll(
    name: str = typer.Argument(help="Name of the roll."),
    line: str = LINE,
    data_dir: Path = DATA_DIR,
) -> None:
    """Show a roll's grade, how it came about, and how to cut it for the most first quality."""
    from storage.grading import stored
    from storage.grading.cut_plan import plan_cuts
    from storage.grading.points import count_by_rule
    from storage.reports import words
    from storage.roll_details import find_roll

    with _open(data_dir) as database:
        graded = stored.grade_roll(database, find_roll(database, name=name, line=line))
    grade, profile = graded.grade, graded.profile.profile
    rate = "no rate" if grade.rate is None else f"{grade.rate:.2f} {words.MEASURES[grade.measure]}"
    console.print(
        f"roll {name}: {grade.grade} ({grade.state}), {words.number(grade.points.total)} points, {rate}, "
        f"{words.share(graded.cloth.coverage)} inspected, by {graded.profile}",
        markup=False,
        soft_wrap=True,
    )
    for reason in grade.reasons:
        console.print(f"  {reason}", markup=False, soft_wrap=True)
    table = Table("rule", "defects", "points")
    for rule, count, points in count_by_rule(grade.points):
        table.add_row(words.rule(rule, profile), str(count), words.number(points))
    if grade.points.capped_off:
        table.add_row("over the cap", "", f"-{words.number(grade.points.capped_off)}")
    console.print(table)
    plan = plan_cuts(profile, graded.cloth, grade)
    if grade.is_first or not plan.first_mm:
        return
    pieces = Table("piece", "from", "to", "points", "rate", "sold as")
    for number, piece in enumerate(plan.pieces, start=1):
        pieces.add_row(
            str(number),
            words.place(piece.y0_mm, profile.unit),
            words.place(piece.y1_mm, profile.unit),
            words.number(piece.points),
            f"{piece.rate:.1f}",
            "first quality" if piece.first else "rest",
        )
    console.print(pieces)
    length = graded.cloth.length_mm
    console.print(
        f"cut: {plan.first_mm / length:.0%} first quality, worth {plan.value_mm / length:.0%} of a first-quality roll; "
        f"whole it is worth {plan.whole_value_mm / length:.0%}",
        markup=False,
        soft_wrap=True,
    )


def _open(data_dir: Path | None) -> Database:
    return open_database(load(StoreSettings, data_dir=data_dir).database)


def _read(file: Path) -> "AnyProfile":
    from storage.grading.profile import parse_profile

    try:
        content = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}: check the path") from error
    return parse_profile(content, source=str(file))
