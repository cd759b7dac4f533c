"""The report's curves, histograms and feature maps, drawn by matplotlib: figures in, SVG text out."""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cras_core.metrics import Curves
from cras_core.report.feature_map import FeatureMap
from cras_core.report.findings import ClassFindings

INK, MUTED, RULE = "#1f2933", "#5f6c7b", "#d5dae0"
NORMAL, DEFECT = "#7a8ea3", "#d1495b"
COLOURS = ("#2a6f97", "#e07a1f", "#3a8f5c", "#8d5a97", "#b8902c", "#3f8f94", "#a3485f", "#5a6ea8", "#7f7f3a", "#6b4f3a")
TURNS = (("-", "o"), ("--", "^"), (":", "s"), ("-.", "D"))  # of more classes than colours: another line, another mark
STYLE: Any = {
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",  # the browser knows more letters than one font
    "svg.hashsalt": "report",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


def roc_and_pr(classes: Sequence[ClassFindings], of: Callable[[ClassFindings], Curves | None], *, what: str) -> str:
    """Both curves of every class that has them."""
    with mpl.rc_context(STYLE):
        figure, (roc, pr) = _axes(2, width=9.0, height=4.0)
        for index, each in enumerate(classes):
            if (curve := of(each)) is not None:
                colour, line, _ = look(index)
                drawn: Any = {"color": colour, "linestyle": line, "label": _plain(each.name), "linewidth": 1.6}
                roc.plot(curve.false_rate, curve.hit_rate, **drawn)
                pr.plot(curve.recall, curve.precision, **drawn)
        roc.plot([0, 1], [0, 1], color=RULE, linewidth=1, linestyle="--", zorder=0)
        roc.set(title=f"ROC, {what}", xlabel="false positive rate", ylabel="true positive rate")
        pr.set(title=f"Precision and recall, {what}", xlabel="recall", ylabel="precision")
        for axes in (roc, pr):
            axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
            axes.grid(color=RULE, linewidth=0.5)
        _legend(roc, loc="lower right")
        return _svg(figure)


def histogram(findings: ClassFindings) -> str:
    """Image scores of one class's normal and anomalous pictures, and the threshold."""
    with mpl.rc_context(STYLE):
        figure, (axes,) = _axes(1, width=4.4, height=2.7)
        scores, threshold = findings.scores, findings.threshold
        low, high = min(float(scores.min()), threshold), max(float(scores.max()), threshold)
        by_factor = low > 0 and high > 30 * low  # scores differ by factors: equal bins would put all normal ones in one
        edges = np.geomspace(low, high, 31) if by_factor else np.linspace(low, high if high > low else low + 1, 31)
        bins = edges.tolist()
        normal, defect = scores[~findings.anomalous], scores[findings.anomalous]
        axes.hist(normal, bins, color=NORMAL, alpha=0.8, label=f"normal ({len(normal)})")
        axes.hist(defect, bins, color=DEFECT, alpha=0.7, label=f"defect ({len(defect)})")
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:.3g}")
        axes.set(title=_plain(findings.name), xlabel="image score", ylabel="pictures")
        if by_factor:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(axes)
        return _svg(figure)


def feature_map(found: FeatureMap) -> str:
    """Raw features beside residual ones: a colour and a mark a class, rings are vectors of defects."""
    with mpl.rc_context(STYLE):
        figure, panels = _axes(2, width=9.0, height=4.8)
        for axes, places, title in zip(panels, (found.raw, found.residual), ("raw, u", "residual, u − ĉ"), strict=True):
            for index in range(len(found.names)):
                (colour, _, mark), own = look(index), found.classes == index
                x, y = places[own & ~found.anomalous].T
                axes.scatter(x, y, s=8, color=colour, marker=mark, alpha=0.5, linewidths=0)
                x, y = places[own & found.anomalous].T
                axes.scatter(x, y, s=22, facecolors="none", edgecolors=colour, marker=mark, linewidths=1.1)
            axes.set(title=f"Features: {title}", xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        marks = [_mark(MUTED, "normal", size=4), _mark(MUTED, "defect", size=6, fill="none")]
        for index, name in enumerate(found.names):
            colour, _, mark = look(index)
            marks.append(_mark(colour, name, size=7, marker=mark))
        figure.legend(handles=marks, loc="outside lower center", ncols=min(len(marks), 6))
        return _svg(figure)


def look(index: int) -> tuple[str, str, str]:
    """Colour, line and mark of a class: 40 of them can be told apart."""
    line, mark = TURNS[index // len(COLOURS) % len(TURNS)]
    return COLOURS[index % len(COLOURS)], line, mark


def _mark(colour: str, name: str, *, size: float, fill: Literal["full", "none"] = "full", marker: str = "o") -> Line2D:
    return Line2D(
        [], [], linestyle="", marker=marker, color=colour, fillstyle=fill, markersize=size, label=_plain(name)
    )


def _axes(count: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, [figure.add_subplot(1, count, number + 1) for number in range(count)]


def _legend(axes: Axes, *, loc: Literal["best", "lower right"] = "best") -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=loc)


def _plain(name: str) -> str:
    """Names come from folders: a dollar sign is no formula, an underscore in front does not hide one."""
    return name.replace("$", r"\$").replace("_", " _", 1) if name.startswith("_") else name.replace("$", r"\$")


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return file.getvalue()
