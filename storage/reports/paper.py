"""The look of every paper: fonts, styles, the frame of a page, tables. ReportLab's platypus.

DejaVu covers Latin, Greek and Cyrillic; Chinese, Japanese and Korean are set in the fonts that PDF readers bring.
"""

import io
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from PIL import Image as PilImage
from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER, TA_RIGHT
from reportlab.lib.pagesizes import A4, letter
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, Image, PageTemplate, Paragraph, Table, TableStyle

from storage.reports.language import _

INK, QUIET, LINE, SHADE = (colors.HexColor(c) for c in ("#1B2430", "#5F6B7A", "#CBD3DB", "#F1F5F7"))
BRAND = colors.HexColor("#0F6E84")
GOOD, FAIR, BAD, OPEN = (colors.HexColor(c) for c in ("#1B7F4B", "#B26A00", "#B3261E", "#5F6B7A"))
PICTURE_PX, PICTURES_A_ROW = 480, 4  # its longer side
MARGIN, TOP, BOTTOM = 15 * mm, 13 * mm, 15 * mm
_WIDE = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

Story = list[Any]


@cache
def _fonts() -> None:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    pdfmetrics.registerFont(TTFont("Text", str(folder / "DejaVuSans.ttf")))
    pdfmetrics.registerFont(TTFont("Text-Bold", str(folder / "DejaVuSans-Bold.ttf")))
    pdfmetrics.registerFontFamily("Text", normal="Text", bold="Text-Bold", italic="Text", boldItalic="Text-Bold")
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    pdfmetrics.registerFont(UnicodeCIDFont("HYSMyeongJo-Medium"))


def style(size: float, *, color: Any = INK, bold: bool = False, lead: float = 1.3, **more: Any) -> ParagraphStyle:
    font = "Text-Bold" if bold else "Text"
    return ParagraphStyle(f"s{size}", fontName=font, fontSize=size, leading=size * lead, textColor=color, **more)


BODY, SMALL, LABEL = style(8), style(7, color=QUIET), style(6.5, color=QUIET)
STRONG, HEADING = style(8, bold=True), style(10, color=BRAND, bold=True, spaceBefore=8, spaceAfter=3)
TITLE, NUMBER = style(17, bold=True, lead=1.15), style(8, alignment=TA_RIGHT)
HEAD, HEAD_NUMBER = style(7, color=QUIET, bold=True), style(7, color=QUIET, bold=True, alignment=TA_RIGHT)
SUM, SUM_NUMBER = style(8, bold=True), style(8, bold=True, alignment=TA_RIGHT)
CAPTION = style(6.5, alignment=TA_CENTER)


def paragraph(text: str, look: ParagraphStyle = BODY) -> Any:
    """Text as it is: nothing in it is markup."""
    return markup(plain(text), look)


def markup(text: str, look: ParagraphStyle = BODY) -> Any:
    """ReportLab's markup, around text that went through `plain`."""
    _fonts()
    return Paragraph(text, look)


def plain(text: str) -> str:
    """Text that people typed, for use within markup."""
    return _WIDE.sub(_in_its_font, escape(_UNSEEN.sub(" ", text)))


def _in_its_font(wide: re.Match[str]) -> str:
    korean = any("\u1100" <= letter_ <= "\u11ff" or "\uac00" <= letter_ <= "\ud7af" for letter_ in wide[0])
    return f'<font name="{"HYSMyeongJo-Medium" if korean else "STSong-Light"}">{wide[0]}</font>'


def page_width(paper: str) -> float:
    """Between the margins, in points."""
    return float((A4 if paper == "A4" else letter)[0] - 2 * MARGIN)


def build(
    story: Story, *, title: str, subject: str, footer: str, paper: str, mark: str = "", author: str = ""
) -> bytes:
    """The PDF. `footer` stands on each page before "page x of y"; `mark` is printed large and pale behind the text."""
    _fonts()
    out = io.BytesIO()
    size = A4 if paper == "A4" else letter
    frame = Frame(MARGIN, BOTTOM, size[0] - 2 * MARGIN, size[1] - TOP - BOTTOM, 0, 0, 0, 0)
    document = BaseDocTemplate(out, pagesize=size, title=title, subject=subject, author=author, creator="loomwatch")
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=_behind(mark, size)))
    document.build(story, canvasmaker=_numbered(footer, size))
    return out.getvalue()


def _behind(mark: str, size: tuple[float, float]) -> Callable[[Any, Any], None]:
    def draw(canvas: Any, _document: Any) -> None:
        if not mark:
            return
        canvas.saveState()
        canvas.translate(size[0] / 2, size[1] / 2)
        canvas.rotate(52)
        canvas.setFont("Text-Bold", 74)
        canvas.setFillColor(colors.HexColor("#F4EDE2"))
        canvas.drawCentredString(0, -25, mark)
        canvas.restoreState()

    return draw


def _numbered(footer: str, size: tuple[float, float]) -> type[Any]:
    """A canvas that knows the number of pages: each page is kept until the last is there."""

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._kept: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._kept.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, state in enumerate(self._kept, start=1):
                self.__dict__.update(state)
                self.setStrokeColor(LINE)
                self.setLineWidth(0.5)
                self.line(MARGIN, 11 * mm, size[0] - MARGIN, 11 * mm)
                self.setFont("Text", 6.5)
                self.setFillColor(QUIET)
                self.drawString(MARGIN, 7.5 * mm, _UNSEEN.sub(" ", footer))
                self.drawRightString(
                    size[0] - MARGIN, 7.5 * mm, _("page {number} of {total}", number=number, total=len(self._kept))
                )
                Canvas.showPage(self)
            Canvas.save(self)

    return Numbered


def heading(title: str, *, plant: str, kind: str, badge: str, color: Any, width: float) -> Any:
    """The top of the first page: what it is, whose it is, and its state."""
    left = [paragraph(" · ".join(part for part in (plant, kind) if part), SMALL), paragraph(title, TITLE)]
    state = Table([[markup(f'<font color="white"><b>{plain(badge)}</b></font>', style(8, alignment=TA_CENTER))]])
    state.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), color),
                ("ROUNDEDCORNERS", [5, 5, 5, 5]),
                ("TOPPADDING", (0, 0), (-1, -1), 4),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
            ]
        )
    )
    table = Table([[left, state]], colWidths=[width - 42 * mm, 42 * mm])
    table.setStyle(
        TableStyle([*bare(), ("VALIGN", (1, 0), (1, 0), "MIDDLE"), ("LINEBELOW", (0, 0), (-1, -1), 1.4, BRAND)])
    )
    return table


def bare() -> list[tuple[Any, ...]]:
    """Style of a table that is only there to place things."""
    return [
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]


def facts(pairs: Sequence[tuple[str, str]], *, columns: int, width: float) -> Any:
    """Labels with their values below them; pairs without a value are left out."""
    cells = [[paragraph(label, LABEL), paragraph(value, STRONG)] for label, value in pairs if value]
    rows: list[list[Any]] = [cells[start : start + columns] for start in range(0, len(cells), columns)] or [[""]]
    rows[-1] += [""] * (columns - len(rows[-1]))
    table = Table(rows, colWidths=[width / columns] * columns)
    table.setStyle(TableStyle([*bare(), ("RIGHTPADDING", (0, 0), (-1, -1), 6)]))
    return table


def listing(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    widths: Sequence[float],
    numbers: Sequence[int] = (),
    total: bool = False,
) -> Any:
    """A table that may run over pages and repeats its head; `numbers` are columns set to the right, with `total` the
    last row is their sum."""
    cells = [[paragraph(text, HEAD_NUMBER if k in numbers else HEAD) for k, text in enumerate(head)]]
    for last, row in enumerate(rows, start=1 - len(rows)):
        looks = (SUM, SUM_NUMBER) if total and last == 0 else (BODY, NUMBER)
        cells.append([paragraph(text, looks[k in numbers]) for k, text in enumerate(row)])
    apart = [
        ("LEFTPADDING", (k, 0), (k, -1), 10) for k in range(1, len(head)) if k - 1 in numbers and k not in numbers
    ]  # else a number and the words behind it run together
    table = Table(cells, colWidths=list(widths), repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
                ("LEFTPADDING", (0, 0), (-1, -1), 3),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3),
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, QUIET),
                ("LINEBELOW", (0, 1), (-1, -1), 0.3, LINE),
                *apart,
            ]
        )
    )
    return table


def signatures(names: Sequence[str], *, width: float) -> Any:
    """Lines to sign on."""
    gap = 6 * mm
    each = (width - gap * (len(names) - 1)) / len(names)
    row: list[Any] = []
    widths: list[float] = []
    for number, name in enumerate(names):
        row += ([""] if number else []) + [paragraph(_("{name} · name, date, signature", name=name), LABEL)]
        widths += ([gap] if number else []) + [each]
    table = Table([row], colWidths=widths, rowHeights=[16 * mm])
    lines = [("LINEABOVE", (2 * k, 0), (2 * k, 0), 0.6, INK) for k in range(len(names))]
    table.setStyle(TableStyle([*bare(), *lines, ("TOPPADDING", (0, 0), (-1, -1), 3)]))
    return table


def figures(shown: Sequence[tuple[str, str, str]], *, shares: Sequence[float], width: float) -> Any:
    """A band of large figures: what it is, the figure, what it is of. shares: of the width."""
    large = style(12, bold=True)
    cells = [
        [paragraph(label, LABEL), paragraph(value, large), paragraph(below, SMALL)] for label, value, below in shown
    ]
    table = Table([cells], colWidths=[width * share for share in shares])
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), SHADE),
                ("LINEAFTER", (0, 0), (-2, -1), 1.5, colors.white),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
            ]
        )
    )
    return table


def picture(png: bytes, *, width: float) -> Any | None:
    """For a grid as wide as `width`, as large as it fits into a square; None for bytes that are no picture."""
    side = width / PICTURES_A_ROW - 5 * mm
    try:
        with PilImage.open(io.BytesIO(png)) as opened:
            shown = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    shown.thumbnail((PICTURE_PX, PICTURE_PX))
    jpeg = io.BytesIO()
    shown.save(jpeg, "JPEG", quality=88)
    scale = side / max(shown.size)
    return Image(jpeg, width=shown.width * scale, height=shown.height * scale)


def picture_grid(cells: list[Story], *, width: float) -> Any:
    """Pictures with what stands below them, side by side."""
    rows: list[list[Any]] = [cells[k : k + PICTURES_A_ROW] for k in range(0, len(cells), PICTURES_A_ROW)]
    rows[-1] += [""] * (PICTURES_A_ROW - len(rows[-1]))
    table = Table(rows, colWidths=[width / PICTURES_A_ROW] * PICTURES_A_ROW)
    looks = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("ALIGN", (0, 0), (-1, -1), "CENTER"),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
    ]
    table.setStyle(TableStyle(looks))
    return table
