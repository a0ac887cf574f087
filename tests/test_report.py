import html.parser
import json
import re
from dataclasses import replace
from math import inf, nan

import pytest
import torch

from tapered import report
from tapered.load import load
from tapered.report import COLOURS, DASHES, figures, plot_data, render
from tapered.result import Cost, analyse
from tapered.study import forest_of
from tapered.summary import number, summary
from tapered.train import Mode

NASTY = "<script>alert(1)</script> & </title>"
TOML = """
name = "NAME"
workload = "quadratic"
steps = 10
seeds = 3
evaluations = 2
baseline = "constant"
peaks = { low = 0.1, high = 10, count = 3 }
[[arms]]
name = "constant"
rule = "SGD"
lr = "constant(1.0)"
[[arms]]
name = "NAME"
rule = "SGD"
lr = "exponential_decay(decay_steps=steps, decay_rate=0.01)"
[[arms]]
name = "as written"
rule = "Adam"
lr = "constant(0.05)"
fixed = true
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A study with hostile names and values: NaN, infinity, 1e308, a diverged run."""
    path = tmp_path_factory.mktemp("r") / "my.toml"
    path.write_text(TOML.replace("NAME", NASTY))
    found = load(str(path))
    runs = [invented(task.run) for task in forest_of(found).tasks]
    cost = Cost(210, 105, None, ((("constant", NASTY), Mode("rows", 16, "it is <b>faster</b>")),))
    return analyse(found, runs, {}, {"torch": torch.__version__, "machine": "<b>x</b>"}, cost)


def invented(run):
    base = run.seed + (run.peak or 7) + (0.5 if run.arm == "constant" else 0)
    curve = tuple((step, {"loss": base + 10 - step, "distance": 1.0}) for step in (0, 5, 10))
    if run.peak == 10 and run.seed == 2:
        curve = (curve[0], (5, {"loss": inf, "distance": nan}))
        return replace(run, step=6, curve=curve, diverged=6)
    if run.peak == 10:
        return replace(run, step=10, curve=(*curve[:2], (10, {"loss": 1e308, "distance": 1.0})), value=1e308)
    return replace(run, step=10, curve=curve, value=base)


@pytest.fixture(scope="module")
def page(result):
    return render(result, "tapered study my.toml --store='a b'")


class Outline(html.parser.HTMLParser):
    """Tags in order, references, and text outside of scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.references, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [(tag, name, value) for name, value in attrs if name in {"src", "href", "action", "data"}]
        if tag not in {"meta", "br", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text.append(data.strip())


@pytest.fixture(scope="module")
def outline(page):
    found = Outline()
    found.feed(page)
    assert found.open == []
    return found


def test_plot_data_is_what_the_runs_say(result):
    data = plot_data(result)
    constant, hostile, written = data.curves
    assert (constant.name, hostile.name, written.name) == ("constant", NASTY, "as written")
    assert constant.x == (0, 5, 10)
    # best peak 0.1, seeds 0, 1, 2: 0.6 + seed + 10 - step
    assert constant.mean == pytest.approx((11.6, 6.6, 1.6))
    assert constant.low == pytest.approx((10.6, 5.6, 0.6))
    assert constant.high == pytest.approx((12.6, 7.6, 2.6))
    assert [band.name for band in data.sensitivity] == ["constant", NASTY]
    assert data.sensitivity[0].x == (0.1, 1, 10)
    assert data.sensitivity[0].mean[:2] == pytest.approx((1.6, 2.5))
    assert data.sensitivity[0].high[2] == 1e308
    assert data.schedules[1].x == tuple(range(10))
    assert data.schedules[1].mean == pytest.approx([0.1 * 0.01 ** (k / 10) for k in range(10)])
    assert data.differences == (report.Bars(NASTY, (0, 1, 2), (0.5, 0.5, 0.5)),)


def test_an_infinite_gain_is_no_bar(result):
    [found] = result.comparisons
    endless = replace(result, comparisons=(replace(found, gains=(inf, -inf, 0.5)),))
    assert plot_data(endless).differences[0].gains == (None, None, 0.5)


def test_an_arm_keeps_its_colour_and_dash(result):
    drawn = figures(plot_data(result))
    lines = [t for f in drawn.values() for t in f["data"] if t.get("line", {}).get("color")]
    looks = {(t["name"], t["line"]["color"], t["line"]["dash"]) for t in lines}
    assert {(c, d) for _, c, d in looks} == set(zip(COLOURS[:3], DASHES[:3], strict=True))
    assert len(looks) == 3


def test_figures_hold_no_nan_and_no_markup(result):
    text = json.dumps(figures(plot_data(result)), allow_nan=False)
    names = {t["name"] for f in figures(plot_data(result)).values() for t in f["data"]}
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;/title&gt;" in names
    assert not any("<" in name for name in names)
    assert "NaN" not in text


def test_a_log_axis_only_where_everything_is_positive(result):
    data = plot_data(result)
    assert figures(data)["curves"]["layout"]["yaxis"]["type"] == "log"
    sunk = replace(data, curves=(replace(data.curves[0], low=(-1.0, 0.0, 1.0)), *data.curves[1:]))
    assert figures(sunk)["curves"]["layout"]["yaxis"]["type"] == "linear"
    gone = replace(data, curves=(report.Band("constant", (), (), (), ()),))
    assert figures(replace(gone, sensitivity=(), schedules=(), differences=()))["curves"]["data"] == [
        {
            "x": (),
            "type": "scatter",
            "name": "constant",
            "legendgroup": "constant",
            "y": (),
            "mode": "lines",
            "line": {"color": COLOURS[0], "dash": "solid", "width": 2},
        }
    ]


def test_the_page_begins_with_the_verdict(outline, result):
    body = [text for text in outline.text if text]
    assert body[0] == f"{NASTY} - tapered"
    assert body[2] == result.sentence
    assert outline.tags.index("p") < outline.tags.index("figure") < outline.tags.index("table")


def test_the_page_loads_nothing(page, outline):
    assert outline.references == []
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\(", page.split("<script>")[0])


def test_hostile_names_stay_text(page, outline):
    assert outline.tags.count("script") == 2
    assert "<script>alert(1)" not in page
    assert "<b>x</b>" not in page
    assert "machine <b>x</b>" in " ".join(outline.text)


def test_the_tables_count_every_run(outline):
    text = " | ".join(outline.text)
    assert "Every run (21)" in text
    assert "diverged at step 6" in text
    assert "1 of 9" in text
    for word in ("nan", "inf", "None", "NaN"):
        assert not re.search(rf"\b{word}\b", text), word


def test_the_page_says_how_it_was_made(outline):
    text = " ".join(outline.text)
    assert "tapered study my.toml --store='a b'" in text
    assert "210 steps asked, 105 to run, 2.00 times fewer, as runs share them." in text
    assert f"constant, {NASTY}: trained as rows, 16 rows at once; it is <b>faster</b>." in text
    assert torch.__version__ in text


def test_the_embedded_figures_are_json(page):
    [found] = re.findall(r"^const figures = (.*);$", page, re.MULTILINE)
    assert set(json.loads(found)) == {"curves", "sensitivity", "schedules", "differences"}


def test_the_same_result_gives_the_same_bytes(result, page, tmp_path):
    report.write(result, tmp_path / "page.html", "tapered study my.toml --store='a b'")
    assert (tmp_path / "page.html").read_text() == page


def test_the_summary_is_json(result):
    found = json.loads(json.dumps(summary(result), allow_nan=False))
    assert found["sentence"] == result.sentence
    assert found["arms"][0]["best_peak"] == 0.1
    assert found["arms"][0]["values"] == pytest.approx([0.6, 1.6, 2.6])
    assert found["comparisons"][0]["gains"] == pytest.approx([0.5] * 3)


def test_a_study_of_one_arm_has_a_page(result):
    alone = replace(result, comparisons=())
    assert "nothing to compare" in render(alone, "x")


def test_numbers_are_short():
    assert [number(x) for x in (0.0, 1234.56, 1e308, -inf, nan, None)] == ["0", "1235", "1e+308", "-", "-", "-"]
