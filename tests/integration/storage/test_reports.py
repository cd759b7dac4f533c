"""Papers as other programs read them: the text and pictures of PDFs, the cells of workbooks, CSV, JSON."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import openpyxl
import pypdfium2
import pytest
from babel.messages.pofile import read_po

from inspection.errors import StorageError
from inspection.settings import ReportSettings, load
from storage.defects.machine import set_element
from storage.frames import store_capture, store_gap, store_report
from storage.grading.cut_plan import CutPiece, CutPlan
from storage.grading.stored import grade_roll
from storage.reports.language import FOLDER
from storage.reports.period_report import read_period_report
from storage.reports.roll_report import read_roll_report
from storage.reports.shifts import day_period, shift_period
from storage.reports.style_report import read_style_report
from storage.reports.written import write_period, write_roll, write_style
from storage.reviews import name_defect, review_defect
from storage.roll_details import find_roll, set_details
from storage.rolls import close_roll, open_roll
from storage.tables import DefectRow, FragmentRow
from tests.records import LENGTH_MM, LINE, at, make_capture, make_defect, make_gap, make_report

pytestmark = pytest.mark.integration
MADE = datetime(2026, 3, 15, 9, 0, tzinfo=UTC)
HOSTILE = '=HYPERLINK("http://x") <b>&amp; Ş é 棉'


@pytest.fixture
def settings():
    return load(ReportSettings, plant="Test mill", time_zone="Europe/Istanbul")


@pytest.fixture
def report(database, pictures, woven, settings):
    store_gap(database, make_gap(100, captured_at=at(5)))
    set_details(database, woven, by="eva", customer=HOSTILE, lot="L-7", ticketed_mm=3300.0)
    return read_roll_report(database, pictures, woven, settings, at=MADE)


def texts(pdf: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        found = []
        for page in document:
            text = page.get_textpage()
            found.append(text.get_text_range())
            text.close()
            page.close()
        return found
    finally:
        document.close()


def pictures_in(pdf: bytes) -> int:
    document = pypdfium2.PdfDocument(pdf)
    try:
        count = 0
        for page in document:
            count += sum(1 for _ in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))
            page.close()
        return count
    finally:
        document.close()


def colours_of(pdf: bytes) -> set[tuple[int, int, int]]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        page = document[0]
        shown = page.render(scale=2).to_pil().convert("RGB")
        page.close()
        return {colour for _, colour in shown.getcolors(1 << 24)}
    finally:
        document.close()


def test_the_certificate_states_what_was_graded(report):
    first, *rest = texts(write_roll(report, "pdf"))
    grade = report.graded.grade
    for said in (
        "Roll R1", "Test mill", "L-7", "PROVISIONAL", "SECOND", "Cut and upgrade", f"{grade.rate:.1f}",
        f"{grade.rate:.2f} points per 100 yd²", "first up to 40.0", "Inspected 99.0 %", "four-point version 1",
        "2 defects wait for review", "Inspector", "Customer", "Map of the roll", report.record, "page 1 of 2",
        "14 Mar 2026 11:00", "(-2.1%)", '=HYPERLINK("http://x") <b>&amp; Ş é',
    ):  # fmt: skip
        assert said in first.replace("\r\n", " ").replace("\ufffe", "-"), said
    assert "Worst defects" in rest[0]
    assert "the frame was too dark" in rest[0]


def test_a_german_certificate_has_no_english_of_the_catalog(report):
    page = "\n".join(texts(write_roll(report, "pdf", language="de"))).replace("\r\n", " ").replace("\ufffe", "-")
    for said in (
        "Rolle R1", "VORLÄUFIG", "ZWEITE WAHL", "Schneiden und aufwerten",
        f"{report.graded.grade.rate:.1f}".replace(".", ","),
        "Geprüft: 99,0 %", "four-point, Version 1", "2 Fehler warten auf die Prüfung", "14.03.2026 11:00", "(-2,1 %)",
        "Das Bild war zu dunkel", "Seite 1 von 2", report.record,
    ):  # fmt: skip
        assert said.casefold() in page.casefold(), said
    assert english_in(page) == []


def english_in(page: str) -> list[str]:
    """Texts of the papers' catalog that stand on a page as they are, but where the German ones hold them, too."""
    with (FOLDER / "de" / "LC_MESSAGES" / "loomwatch.po").open("rb") as file:
        catalog = {one(message.id): one(message.string) for message in read_po(file, locale="de") if message.id}
    german = " ".join(catalog.values())
    page = page.replace("four-point", "").replace("Modell first", "Modell")  # names of a profile and a model
    return [
        text
        for text in catalog
        if "{" not in text
        for whole in (rf"(?<!\w){re.escape(text.strip())}(?!\w)",)
        if re.search(whole, page) and not re.search(whole, german)
    ]


def one(text: str | tuple[str, ...]) -> str:
    return text if isinstance(text, str) else text[0]


def test_the_certificate_draws_the_map_and_the_worst_defects_pictures(report):
    pdf = write_roll(report, "pdf")
    assert pictures_in(pdf) == 2
    colours = colours_of(pdf)
    assert (0xF0, 0xB4, 0x29) in colours, "a defect of one point"
    assert (0xDD, 0xE1, 0xE6) in colours, "cloth that was not inspected"


def test_a_final_certificate_is_not_marked_provisional(database, pictures, woven, settings):
    with database.reading() as session:
        numbers = [row.id for row in session.query(DefectRow)]
    for number in numbers:
        review_defect(database, pictures, number, state="rejected", by="eva")
    report = read_roll_report(database, pictures, woven, settings, at=MADE)
    (only,) = texts(write_roll(report, "pdf", paper_size="letter"))
    assert "FINAL" in only
    assert "PROVISIONAL" not in only
    assert "2 false alarms" in only
    assert report.worst == ()


def test_cloth_that_waits_stands_on_every_paper(database, pictures, woven, settings):
    store_capture(database, make_capture(120))
    report = read_roll_report(database, pictures, woven, settings, at=MADE)
    pages = " ".join(texts(write_roll(report, "pdf"))).replace("\r\n", " ")
    assert "0.64 m to be inspected" in pages
    assert "the cloth is captured and not inspected yet" in pages
    assert json.loads(write_roll(report, "json"))["roll"]["not_inspected_yet_mm"] == pytest.approx(20 * LENGTH_MM)
    day = read_period_report(database, day_period(ZoneInfo("UTC"), day=date(2026, 3, 14)), settings, at=MADE)
    assert "(provisional: cloth waits)" in " ".join(texts(write_period(day, "pdf"))).replace("\r\n", " ")
    (row,) = csv.DictReader(io.StringIO(write_period(day, "csv").decode("utf-8-sig")))
    assert float(row["not_inspected_yet_mm"]) == pytest.approx(20 * LENGTH_MM)


@pytest.mark.parametrize(
    ("value_mm", "whole_mm", "said"),
    [(90, 80, "Cutting is worth it"), (80, 80, "whole brings as much"), (80, 90, "whole brings more")],
)
def test_the_cut_plan_says_what_brings_more(report, value_mm, whole_mm, said):
    pieces = tuple(CutPiece(y0_mm=at_mm, y1_mm=at_mm + 50, points=0, rate=0, first=True) for at_mm in (0, 50))
    plan = CutPlan(pieces=pieces, value_mm=value_mm, whole_value_mm=whole_mm)
    assert said in " ".join(texts(write_roll(replace(report, plan=plan), "pdf"))).replace("\r\n", " ")


def test_a_picture_that_is_gone_or_broken_does_not_stop_the_certificate(database, pictures, woven, settings):
    with database.reading() as session:
        one, two = [row.crop for row in session.query(FragmentRow).order_by(FragmentRow.defect_id)]
    pictures.delete(one)
    pictures.put(two, b"no picture")
    report = read_roll_report(database, pictures, woven, settings, at=MADE)
    assert pictures_in(write_roll(report, "pdf")) == 0


def test_the_record_is_of_what_is_stated_and_not_of_when(database, pictures, woven, settings, report):
    later = read_roll_report(database, pictures, woven, settings, at=datetime(2027, 1, 1, tzinfo=UTC))
    assert later.record == report.record
    set_details(database, woven, by="eva", lot="L-8")
    assert read_roll_report(database, pictures, woven, settings, at=MADE).record != report.record


def test_the_workbook_holds_all_tables_and_no_formula(report):
    book = openpyxl.load_workbook(io.BytesIO(write_roll(report, "xlsx")))
    assert book.sheetnames == ["Roll", "Defects", "Periodic", "Points by unit", "Not inspected", "Cut plan"]
    stated = {row[0].value: row[1] for row in book["Roll"].iter_rows(min_row=2)}
    assert (stated["Customer"].value, stated["Customer"].data_type) == (HOSTILE, "s")
    assert stated["Points"].value == report.graded.grade.points.total == 2
    assert stated["Grade"].value == "second"
    assert stated["Begun"].value == datetime(2026, 3, 14, 11)  # by the plant's clock, as a date
    assert stated["Coverage, %"].value == pytest.approx(100 * report.graded.cloth.coverage)
    head, *rows = book["Defects"].iter_rows(values_only=True)
    assert [row[head.index("Points")] for row in rows] == [1, 1]
    assert [row[head.index("Form")] for row in rows] == ["point", "point"]
    assert rows[0][head.index("Along from, m")] == pytest.approx((30 * LENGTH_MM + 10) / 1000)
    assert sum(row[2] for row in book["Points by unit"].iter_rows(min_row=2, values_only=True)) == 2


def test_the_csv_is_one_defect_a_row(report):
    rows = list(csv.DictReader(io.StringIO(write_roll(report, "csv").decode("utf-8-sig"))))
    assert [(row["points"], row["status"], row["geometry"]) for row in rows] == [("1.0", "unreviewed", "point")] * 2


def test_periodic_defects_stand_on_the_certificate(database, pictures, settings):
    set_element(database, line=LINE, name="print", kind="screen", values={"repeat_mm": 160.0}, by="eva")
    open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    for number in range(100, 140):  # the counter ran before; marks from 74 mm on, every fifth frame of 32 mm
        found = (make_defect(x_px=250),) if number % 5 == 2 else ()
        store_report(database, pictures, make_report(number, captured_at=at(number / 100), defects=found))
    with database.reading() as session:
        false = session.query(DefectRow).order_by(DefectRow.y0_mm.desc()).first().id
    review_defect(database, pictures, false, state="rejected", by="eva")
    close_roll(database, line=LINE, by="eva", at=at(10))
    report = read_roll_report(database, pictures, find_roll(database, name="R1"), settings, at=MADE)
    [told] = json.loads(write_roll(report, "json"))["periodic"]
    assert (told["hits"], told["suspect"]) == (7, "print")
    assert [told[name] for name in ("period_mm", "first_mm", "last_mm")] == pytest.approx([160, 75, 75 + 6 * 160])
    book = openpyxl.load_workbook(io.BytesIO(write_roll(report, "xlsx")))
    head, row = book["Periodic"].iter_rows(values_only=True)
    shown = dict(zip(head, row, strict=True))
    assert (shown["Every, mm"], shown["Times"], shown["Suspect"]) == (pytest.approx(160), 7, "print")
    assert shown["Last at, m"] == pytest.approx(told["last_mm"] / 1000)
    text = " ".join(" ".join(texts(write_roll(report, "pdf"))).split())
    assert "Periodic defects Every Times First at Last at From left selvedge Suspect" in text
    assert "160.0 mm 7 0.08 yd 1.13 yd 61 mm print" in text


def test_text_that_a_spreadsheet_would_run_is_quoted_in_csv(database, pictures, settings):
    open_roll(database, line=LINE, name="=1+1", style="twill", by="eva", at=at(0))
    store_report(database, pictures, make_report(0, captured_at=at(1)))
    day = day_period(ZoneInfo("UTC"), day=date(2026, 3, 14))
    text = write_period(read_period_report(database, day, settings, at=MADE), "csv").decode("utf-8-sig")
    assert next(csv.DictReader(io.StringIO(text)))["roll"] == "'=1+1"


def test_json_tells_everything_as_numbers(report):
    facts = json.loads(write_roll(report, "json"))
    assert facts["roll"]["customer"] == HOSTILE
    assert facts["roll"]["opened_at"] == "2026-03-14T11:00:00+03:00"
    assert facts["grade"]["rate"] == pytest.approx(report.graded.grade.rate)
    assert [unit["points"] for unit in facts["units"]] == [1, 1]
    assert facts["not_inspected"][0]["reason"] == "the frame was too dark"
    assert facts["record"] == report.record


@pytest.fixture
def two_shifts(database, pictures):
    """R1 in the early shift of UTC (06-14), R2 over its end; gaps in both; one false alarm."""
    for name, start, end, minutes in (("R1", 0, 60, (10, 20)), ("R2", 300, 420, (350, 359, 361, 400))):
        open_roll(database, line=LINE, name=name, style="twill", by="eva", at=at(start))
        for number, minute in enumerate(minutes):
            sequence = start + number
            y_mm = sequence * LENGTH_MM + 25
            found = (make_defect(x_px=250, y0_mm=y_mm, y1_mm=y_mm + 2),)
            report = make_report(sequence, captured_at=at(minute), defects=found)
            store_report(database, pictures, report)
        store_gap(database, make_gap(start + 50, captured_at=at(minutes[-1])))
        close_roll(database, line=LINE, by="eva", at=at(end))
        set_details(database, find_roll(database, name=name), by="eva", lot="L-7", profile="four-point-denim")
    with database.reading() as session:
        number = session.query(DefectRow).order_by(DefectRow.id).first().id
    review_defect(database, pictures, number, state="rejected", by="eva")


def test_a_shift_has_the_cloth_that_passed_in_it_and_the_rolls_that_ended_in_it(database, settings, two_shifts):
    def shift(name):
        period = shift_period(settings.shifts, ZoneInfo("UTC"), day=date(2026, 3, 14), name=name)
        return read_period_report(database, period, settings, at=MADE)

    early, late = shift("early"), shift("late")
    assert [line.inspected_mm for line in (*early.lines, *late.lines)] == pytest.approx([4 * LENGTH_MM, 2 * LENGTH_MM])
    assert [line.missed_mm for line in (*early.lines, *late.lines)] == pytest.approx([LENGTH_MM, LENGTH_MM])
    assert [(line.defects, line.false_alarms) for line in (*early.lines, *late.lines)] == [(3, 1), (2, 0)]
    assert early.lines[0].area_m2 == pytest.approx(4 * LENGTH_MM * 128 / 1e6)
    assert [[graded.roll.name for graded in each.rolls] for each in (early, late)] == [["R1", "R2"], ["R2"]]
    names = {graded.roll.id: graded.roll.name for graded in early.rolls}
    assert [sorted(names[number] for number in each.ended) for each in (early, late)] == [["R1"], ["R2"]]
    assert shift("night").lines == ()


def test_the_shifts_of_a_day_add_up_to_the_day(database, settings, two_shifts):
    """Shifts from midnight on, so that the day is just theirs."""
    shifts = ("a=00:00", "b=09:00", "c=15:00")
    zone = ZoneInfo("UTC")
    parts = [
        read_period_report(database, shift_period(shifts, zone, day=date(2026, 3, 14), name=name), settings, at=MADE)
        for name in "abc"
    ]
    whole = read_period_report(database, day_period(zone, day=date(2026, 3, 14)), settings, at=MADE)
    (line,) = whole.lines
    for figure in ("inspected_mm", "missed_mm", "area_m2", "defects", "to_review", "false_alarms"):
        assert sum(getattr(each, figure) for part in parts for each in part.lines) == pytest.approx(
            getattr(line, figure)
        )
    assert sum(len(part.ended) for part in parts) == len(whole.ended) == 2


def test_a_lot_is_averaged_over_its_cloth(database, settings, two_shifts):
    day = read_period_report(database, day_period(ZoneInfo("UTC"), day=date(2026, 3, 14)), settings, at=MADE)
    (lot,) = day.lots
    rolls = [grade_roll(database, find_roll(database, name=name)) for name in ("R1", "R2")]
    points = sum(graded.grade.points.total for graded in rolls)
    area = sum(graded.cloth.length_mm * graded.cloth.width_mm for graded in rolls) / 914.4**2
    assert (lot.rolls, lot.rate, lot.limit) == (2, pytest.approx(100 * points / area), 20)
    assert lot.within is False


def test_the_papers_of_a_day(database, settings, two_shifts):
    day = read_period_report(database, day_period(ZoneInfo("UTC"), day=date(2026, 3, 14)), settings, at=MADE)
    (page,) = texts(write_period(day, "pdf"))
    for said in ("Day report, Saturday 14 March 2026", "R1", "R2", "L-7", "OVER", "The frame was too dark", "COMPLETE"):
        assert said in page, said
    book = openpyxl.load_workbook(io.BytesIO(write_period(day, "xlsx")))
    assert book.sheetnames == ["Rolls", "Lines", "Lots", "Not inspected"]
    facts = json.loads(write_period(day, "json"))
    assert [roll["roll"] for roll in facts["rolls"]] == ["R1", "R2"]
    assert facts["lines"][0]["defects"] == 5


@pytest.fixture
def twill(database, pictures, two_shifts, settings):
    """Over two days; a roll of another style, and one that ended later, are not of it."""
    open_roll(database, line=LINE, name="other", style="denim", by="eva", at=at(430))
    store_report(database, pictures, make_report(500, captured_at=at(431), defects=(make_defect(),)))
    close_roll(database, line=LINE, by="eva", at=at(440))
    open_roll(database, line=LINE, name="later", style="twill", by="eva", at=at(450))
    store_report(database, pictures, make_report(600, captured_at=at(451)))
    days = {"first": date(2026, 3, 13), "last": date(2026, 3, 14)}
    return read_style_report(database, pictures, "twill", settings, **days, at=MADE)


def test_a_style_is_its_rolls_that_ended_as_their_certificates_say(database, twill):
    rolls = [grade_roll(database, find_roll(database, name=name)) for name in ("R1", "R2")]
    assert [graded.roll.name for graded in twill.rolls] == ["R1", "R2"]
    assert [graded.points for graded in twill.rolls] == [graded.grade.points.total for graded in rolls]
    assert twill.whole.inspected_m * 1000 == pytest.approx(sum(graded.summary.inspected_mm for graded in rolls))
    assert twill.whole.missed_m * 1000 == pytest.approx(sum(graded.summary.gap_mm for graded in rolls))
    assert (twill.whole.defects, twill.whole.false_alarms) == (5, 1)
    assert twill.to_review == sum(graded.grade.unreviewed for graded in rolls)
    assert [(line.name, line.defects) for line in twill.lines] == [(LINE, 5)]
    (average,) = twill.averages
    area = sum(graded.cloth.length_mm * graded.cloth.width_mm for graded in rolls) / 914.4**2
    points = sum(graded.grade.points.total for graded in rolls)
    assert (average.profile, average.rolls) == ("four-point-denim", 2)
    assert average.rate == pytest.approx(100 * points / area)


def test_a_style_s_kinds_and_worst_defects_are_without_false_alarms(database, pictures, settings, twill):
    with database.reading() as session:
        rows = session.query(DefectRow).order_by(DefectRow.id).all()
        kept = [row.id for row in rows if row.state != "rejected" and row.style == "twill" and row.roll_id != 3]
    assert [(kind.geometry, kind.code, kind.defects) for kind in twill.kinds] == [("point", "", 5)]
    assert sorted(item.id for item in twill.worst) == sorted(kept)[:5]
    name_defect(database, kept[0], code="knot", by="eva")
    days = {"first": date(2026, 3, 14), "last": date(2026, 3, 14)}
    again = read_style_report(database, pictures, "twill", settings, **days, at=MADE)
    assert [(kind.geometry, kind.code, kind.defects) for kind in again.kinds] == [
        ("point", "", 4),
        ("point", "knot", 1),
    ]


def test_the_papers_of_a_style(twill):
    (page,) = texts(write_style(twill, "pdf"))
    for said in ("Style report: twill", "13 Mar 2026 to 14 Mar 2026", "R1", "R2", "Kinds of defects", "Worst defects"):
        assert said in page, said
    assert "later" not in page
    assert pictures_in(write_style(twill, "pdf")) == 5
    book = openpyxl.load_workbook(io.BytesIO(write_style(twill, "xlsx")))
    assert book.sheetnames == ["Style", "Rolls", "Averages", "Lines", "Kinds", "Worst defects"]
    facts = json.loads(write_style(twill, "json"))
    assert (facts["whole"]["defects"], facts["first"]) == (5, "2026-03-13")
    rows = list(csv.DictReader(io.StringIO(write_style(twill, "csv").decode("utf-8-sig"))))
    assert [row["roll"] for row in rows] == ["R1", "R2"]


def test_a_style_without_a_roll_is_a_paper_too_and_an_unknown_one_is_none(database, pictures, settings, twill):
    days = {"first": date(2026, 2, 1), "last": date(2026, 2, 2)}
    empty = read_style_report(database, pictures, "twill", settings, **days, at=MADE)
    assert "No roll of this style ended in these days." in texts(write_style(empty, "pdf"))[0]
    for form in ("xlsx", "csv", "json"):
        assert write_style(empty, form)
    with pytest.raises(StorageError, match="there is no style linen: there are denim, twill"):
        read_style_report(database, pictures, "linen", settings, **days)


def test_german_reports_have_no_english_of_the_catalog(database, settings, two_shifts, twill):
    day = read_period_report(database, day_period(ZoneInfo("UTC"), day=date(2026, 3, 14)), settings, at=MADE)
    (page,) = texts(write_period(day, "pdf", language="de"))
    assert "Tagesbericht, Samstag, 14. März 2026" in page
    assert english_in(page.replace("other", "").replace("later", "")) == []  # names of rolls
    (page,) = texts(write_style(twill, "pdf", language="de"))
    assert "Artikelbericht: twill" in page
    assert english_in(page) == []


def words_of(workbook: bytes) -> str:
    book = openpyxl.load_workbook(io.BytesIO(workbook))
    cells = [str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row if cell]
    return " ".join([*book.sheetnames, *cells, book.properties.title]).replace("Modelle first", "Modelle")


def test_a_german_workbook_has_no_english_of_the_catalog_and_no_name_of_a_field(database, settings, two_shifts, twill):
    day = read_period_report(database, day_period(ZoneInfo("UTC"), day=date(2026, 3, 14)), settings, at=MADE)
    for written in (write_period(day, "xlsx", language="de"), write_style(twill, "xlsx", language="de")):
        text = words_of(written)
        assert english_in(text.replace("other", "").replace("later", "")) == []
        assert not re.search(r"[a-z0-9]_[a-z0-9]", text)


def test_so_has_a_german_certificate_as_a_workbook(report):
    text = words_of(write_roll(report, "xlsx", language="de"))
    assert "Ausgewiesene Länge, m 3.3" in text
    assert english_in(text.replace(HOSTILE, "")) == []
    assert not re.search(r"[a-z0-9]_[a-z0-9]", text)


def test_tables_and_facts_are_the_same_in_every_language(report):
    for form in ("csv", "json"):
        assert write_roll(report, form, language="de") == write_roll(report, form)


def test_a_day_without_cloth_is_a_paper_too(database, settings):
    day = read_period_report(database, day_period(ZoneInfo("UTC"), day=date(2026, 3, 1)), settings, at=MADE)
    assert "No cloth passed a camera in this time." in texts(write_period(day, "pdf"))[0]
    for form in ("xlsx", "csv", "json"):
        assert write_period(day, form)
