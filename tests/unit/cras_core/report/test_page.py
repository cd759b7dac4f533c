"""The report: one page that holds everything, asks nobody, and shows names as text."""

import base64
import html
import os
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from cras_core.bundle import load_bundle
from cras_core.dataset import read_layout
from cras_core.disturbances import Disturbance
from cras_core.evaluation import evaluate
from cras_core.pictures import decode_picture
from cras_core.report import feature_map
from cras_core.report.feature_map import FeatureMapper
from cras_core.report.findings import EXAMPLES, Findings
from cras_core.report.page import write_report
from tests.unit.cras_core.conftest import weave

CPU = torch.device("cpu")


def report(bundle, layout, folder, *, setting="multi", disturbances=()):
    scorer = load_bundle(bundle, device=CPU)
    findings = Findings(scorer)
    evaluation = evaluate(scorer, layout, setting=setting, observe=findings)
    disturbed = {each: evaluate(scorer, layout, setting=setting, disturbance=each) for each in disturbances}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_map, "VECTORS", 100)
        features = FeatureMapper(bundle, device=CPU).lay_out(layout, setting=setting)
    path = write_report(
        folder,
        scorer=scorer,
        layout=layout,
        evaluation=evaluation,
        findings=findings,
        disturbed=disturbed,
        features=features,
    )
    return path.read_text(), evaluation, findings


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """Both styles, 8 normal and 2 or 7 spoiled pictures each, under hostile names."""
    folder = tmp_path_factory.mktemp("data")
    for style, spoiled in (("canvas", 2), ("denim", 7)):
        for kind, count in (("good", 8), ("<b>hole", spoiled)):
            (folder / style / "test" / kind).mkdir(parents=True)
            (folder / style / "ground_truth" / kind).mkdir(parents=True)
            for index in range(count):
                picture, mask = weave(style, 100 + index), np.zeros((64, 64), np.uint8)
                if kind != "good":
                    mask[10 : 20 + 4 * index, 30:44] = 255
                    picture[mask > 0] //= 4
                Image.fromarray(picture).save(folder / style / "test" / kind / f"{index}&.png")
                Image.fromarray(mask).save(folder / style / "ground_truth" / kind / f"{index}&_mask.png")
    return read_layout(folder, need_test=True)


@pytest.fixture(scope="module")
def made(small_bundle, data_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "new" / "report"
    return report(small_bundle, data_set, folder, disturbances=[Disturbance("exposure", 0.5)])


def pictures(page):
    """Every embedded picture: (kind, bytes)."""
    found = re.findall(r'src="data:image/([\w+]+);base64,([^"]+)"', page)
    return [(kind, base64.b64decode(data, validate=True)) for kind, data in found]


def test_the_page_asks_for_nothing_but_itself(made):
    page, *_ = made
    own = re.sub(r"base64,[^\"]+", "", page)
    assert not re.search(r"https?:|//|<script|<link|@import|url\(", own)
    assert page.count("<img") == len(re.findall(r'<img src="data:image/(jpeg|svg\+xml);base64,', page)) > 0
    for kind, data in pictures(page):
        if kind == "jpeg":
            assert decode_picture(data, name="an example").shape == (64, 64, 3)
        else:
            drawing = data.decode()
            assert ElementTree.fromstring(drawing).tag.endswith("svg")
            assert "<image" not in drawing
            assert not re.search(r'href="(?!#)', drawing)


def test_names_are_shown_as_text(made):
    page, *_ = made
    assert "<b>hole" not in page
    assert html.escape("denim/<b>hole/0&.png") in page


def test_every_figure_and_its_interval_is_on_the_page(made):
    page, evaluation, _ = made
    mean, intervals = evaluation.mean, evaluation.mean_intervals
    for figure, value in mean.items():
        low, high = intervals[figure]
        assert f"<td>{value:.3f}<small>{low:.3f} – {high:.3f}</small></td>" in page
    assert "exposure<small>strength 0.5</small>" in page
    assert "−0.000" not in page
    found, defects, false, normal = (
        sum(getattr(each, name) for each in evaluation.classes.values())
        for name in ("n_found", "n_anomalous", "n_false", "n_normal")
    )
    assert page.count(f"<td>{found} / {defects}</td><td>{false} / {normal}</td>") >= 2  # of all classes, clean
    assert '<td class="own">15</td>' in page  # denim's pictures, all routed right


def test_examples_are_the_furthest_from_their_thresholds(made, small_scorer, data_set):
    page, _, findings = made
    seen = []
    evaluate(small_scorer, data_set, observe=seen.append)
    over = np.concatenate([scored.scores - scored.thresholds for scored in seen])
    anomalous = np.concatenate([scored.anomalous for scored in seen])
    wanted = np.sort(over[anomalous])
    assert [each.over for each in findings.misses] == pytest.approx(wanted[:EXAMPLES], abs=1e-5)
    assert [each.over for each in findings.hits] == pytest.approx(wanted[::-1][:EXAMPLES], abs=1e-5)
    assert [each.over for each in findings.false_alarms] == pytest.approx(
        np.sort(over[~anomalous])[::-1][:EXAMPLES], abs=1e-5
    )
    assert sum(kind == "jpeg" for kind, _ in pictures(page)) == 3 * 3 * EXAMPLES
    for each in findings.misses + findings.hits:
        assert each.mask.any()
        assert each.verdict == ("found" if each.score > each.threshold else "missed")
    assert {each.verdict for each in findings.false_alarms} <= {"false alarm", "no alarm"}


def test_without_anomalies_the_page_shows_what_there_is(small_bundle, data_set, tmp_path, make_data_set):
    folder = make_data_set()
    for path in folder.glob("*/test/stain/*"):
        path.unlink()
    page, *_ = report(small_bundle, read_layout(folder, need_test=True), tmp_path, setting="single")
    assert "<h2>Curves</h2>" not in page
    assert "Worst misses" not in page
    assert "Worst false alarms" in page
    assert "<h2>Routing</h2>" not in page
    assert "<h2>Feature maps</h2>" in page


def test_pictures_whose_names_are_no_text_are_reported_all_the_same(small_bundle, tmp_path, make_data_set):
    folder = make_data_set()
    for kind, ending in (("test", ".png"), ("ground_truth", "_mask.png")):
        place = folder / "denim" / kind / "stain"
        (place / f"000{ending}").rename(place / os.fsdecode(b"0\xff" + ending.encode()))
    layout = read_layout(folder, need_test=True)
    page, *_ = report(small_bundle, layout, tmp_path / "out", disturbances=[Disturbance("light")])
    assert "denim/stain/0?.png" in page
