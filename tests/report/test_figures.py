"""The page's figures: what stands where, that nothing is cropped or covered, and how many arms are shown."""

import html
import json
import re
from dataclasses import replace
from math import inf, nan

import pytest
from report_cases import NASTY

from tapered import report
from tapered.pictures import WHOLE, Panel, Scale, over, signed, smooth
from tapered.report import COLOURS, DASHES, figures, plot_data


def named(data):
    return {figure.name: figure for figure in figures(data)}


def drawn(result, arms, **fields):
    """The figure of these curves alone."""
    others = dict.fromkeys(("sensitivity", "schedules", "verdicts", "differences", "trials"), ())
    return named(replace(plot_data(result), curves=tuple(arms), **others, **fields))["curves"]


def places(picture):
    """(x, y) of every point of a picture's lines."""
    return [tuple(map(float, at)) for at in re.findall(r"[ML]([-\d.]+),([-\d.]+)", picture)]


def test_fresh_seeds_are_told_apart(confirmed):
    figure = named(plot_data(confirmed))["differences"]
    assert figure.labels[7:9] == ("seed 7", "fresh seed 8")
    [(_, picture)] = figure.panels
    assert re.findall(r'<rect .*?fill-opacity="([\d.]+)"', picture) == ["0.4"] * 8 + ["1.0"] * 7
    assert figure.series[0].said == ((15.0, "a run diverged"),)


def test_crosses_stand_below_the_plot_and_cover_nothing(confirmed):
    """An arm's in a row of its own, in its colour, at the peak where runs were lost."""
    [(panel, picture)] = named(plot_data(confirmed))["sensitivity"].panels
    left, top, width, height = panel.box
    crosses = re.findall(r'd="M([\d.]+),([\d.]+)l6,6m0,-6l-6,6".*?stroke="(.*?)"', picture)
    assert [colour for *_, colour in crosses] == [COLOURS[0], COLOURS[1]]
    assert all(float(y) > top + height for _, y, _ in crosses)
    assert crosses[0][1] != crosses[1][1]
    assert [float(x) + 3 for x, *_ in crosses] == pytest.approx([left + width * panel.x.place(10.0)] * 2, abs=0.1)


def test_a_run_that_diverged_has_a_cross_where_it_did(result):
    lost = replace(result.arms[0].best.runs[0], diverged=6, step=6, value=nan)
    best = replace(result.arms[0].best, runs=(lost, *result.arms[0].best.runs[1:]))
    again = replace(result, arms=(replace(result.arms[0], best=best), *result.arms[1:]))
    assert plot_data(again).curves[0].lost == ((6, "1 of 3 diverged"),)


def test_an_arm_keeps_its_colour_and_dash(result):
    looks = {(s.name, s.colour, s.dash) for figure in figures(plot_data(result))[1:] for s in figure.series}
    lines = {(name, dash) for name, _, dash in looks if name != NASTY or dash}
    assert {(name, colour) for name, colour, _ in looks} == set(
        zip(("constant", NASTY, "as written"), COLOURS[:3], strict=True)
    )
    assert lines == set(zip(("constant", NASTY, "as written"), DASHES[:3], strict=True))


def test_figures_hold_no_nan_and_no_markup(result):
    found = figures(plot_data(result))
    text = json.dumps([figure.fields for figure in found], allow_nan=False)
    pictures = [picture for figure in found for _, picture in figure.panels]
    assert "NaN" not in text
    for picture in pictures:
        assert not re.search(r"nan|inf|<script", picture)
    assert any(html.escape(NASTY[:20]) in picture for picture in pictures)


@pytest.mark.parametrize("higher", [False, True])
def test_curves_are_never_cropped(result, higher):
    """Of accuracies the start lies far below where they settle; it is shown."""
    arms = [report.Band(name, (0, 5, 10, 20, 100), (0.1, 0.5, 0.90, 0.93, end), (0.05,) * 5, (0.99,) * 5)
            for name, end in (("a", 0.97), ("b", 0.98))]  # fmt: skip
    [(panel, picture)] = drawn(result, arms, higher=higher).panels
    left, top, width, height = panel.box
    assert panel.y.kind == ("linear" if higher else "log")
    assert panel.y.low < 0.05
    assert panel.y.high > 0.99
    points = places(picture.partition("fill-opacity")[2])
    assert min(y for _, y in points) >= top
    assert max(y for _, y in points) <= top + height + 0.1
    assert {min(x for x, _ in points), max(x for x, _ in points)} == {left, left + width}


def test_no_two_of_sixteen_arms_look_alike(result):
    arms = [report.Band(f"arm {i}", (0, 1), (1.0, 2.0), (1.0, 2.0), (1.0, 2.0)) for i in range(16)]
    assert len({(s.colour, s.dash) for s in drawn(result, arms).series}) == 16


def test_many_arms_have_a_panel_each_and_few_share_one(result):
    arms = [report.Band(f"arm {i}", (0, 1), (1.0, 2.0), (1.0, 2.0), (1.0, 2.0)) for i in range(7)]
    assert len(drawn(result, arms[:6]).panels) == 1
    assert len(drawn(result, arms[:6]).key) == 6
    apart = drawn(result, arms)
    assert [panel.title for panel, _ in apart.panels] == [f"arm {i}" for i in range(7)]
    assert len({(panel.x, panel.y) for panel, _ in apart.panels}) == 1
    assert apart.key == ()


def test_many_verdicts_are_in_order_with_what_they_are_against(many):
    data = plot_data(many)
    order = [(found.badge, found.middle) for found in data.verdicts]
    badges = [badge for badge, _ in order]
    assert badges == sorted(badges, key=["better", "the same", "not shown", "too few seeds", "worse"].index)
    figure = named(data)["verdicts"]
    assert len(figure.series) == 8
    assert next(panel.title for panel, _ in named(data)["differences"].panels) == data.verdicts[0].name
    curves = [panel.label.removeprefix("Validation loss: ") for panel, _ in named(data)["curves"].panels]
    assert curves == ["constant", *(found.name for found in data.verdicts)]
    panel, picture = figure.panels[0]
    for i, found in enumerate(data.verdicts):
        assert panel.box[1] < panel.at(found.middle, -i)[1] < panel.box[1] + panel.box[3]
    assert "against" not in picture  # they all have one, which the caption names


def test_a_log_axis_only_where_everything_is_positive(result):
    data = plot_data(result)
    [(panel, _)] = named(data)["curves"].panels
    assert panel.y.kind == "log"
    sunk = replace(data, curves=(replace(data.curves[0], low=(-1.0, 0.0, 1.0)), *data.curves[1:]))
    [(panel, _)] = named(sunk)["curves"].panels
    assert panel.y.kind == "linear"
    gone = drawn(result, [report.Band("constant", (), (), (), ())])
    assert [series.mean for series in gone.series] == [()]


@pytest.mark.parametrize(
    "values",
    [
        (1.0,),
        (0.0,),
        (1e308, -1e308),
        (5e-324,),
        (1.7e308, 1e-300),
        (),
        (None,),
        (1.5, 1.500001),
        (3e-5, 2e4),
        (-3.0, 8.0),
    ],
)
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_holds_what_it_is_made_for(values, log):
    found = [value for value in values if value is not None]
    for scale in (over(values, log=log), signed(values)):
        assert scale.low < scale.high < inf
        assert all(0 <= scale.place(value) <= 1 for value in found)
        ticks = scale.ticks()
        assert all(scale.low <= value <= scale.high for value, _ in ticks)
        assert len({text for _, text in ticks}) == len(ticks) <= 9
        assert len(ticks) > 1 or not found


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 7.3, ["0", "2", "4", "6"]),
        (-0.013, 0.021, ["-0.01", "0", "0.01", "0.02"]),
        (0.0, 2519.0, ["0", "1,000", "2,000"]),
        (0.0, 3.1e-4, ["0", "0.0001", "0.0002", "0.0003"]),
        (99.9, 100.1, ["99.9", "99.95", "100", "100.05", "100.1"]),
        (-1.7e308, 1.7e308, ["-1e+308", "0", "1e+308"]),
    ],
)
def test_marks_are_round_numbers(low, high, texts):
    assert [text.replace("e308", "e+308") for _, text in Scale("linear", low, high).ticks(5)] == texts


def test_an_axis_of_differences_shows_the_small_beside_the_huge():
    scale = signed([-0.01, 0.02, 0.01, -0.02, 746.0])
    assert scale.kind == "symlog"
    assert scale.place(0.02) - scale.place(-0.02) > 0.12
    assert scale.place(0.0) == pytest.approx((scale.place(0.01) + scale.place(-0.01)) / 2)
    assert signed([-0.01, 0.02, 0.1]).kind == "linear"


def test_rates_that_reach_0_share_an_axis_with_far_higher_ones(result):
    """A linear axis would show the highest arm alone, a logarithmic one has no 0."""
    steps = (0, 50, 100)
    low, high = (report.Band(name, steps, rates, rates, rates) for name, rates in (
        ("constant", (0.03, 0.03, 0.0)), ("as written", (1.0, 0.1, 0.01))))  # fmt: skip
    axis = named(replace(plot_data(result), schedules=(low, high)))["schedules"].panels[0][0].y
    assert axis.kind == "symlog"
    assert axis.place(0.03) - axis.place(0.0) > 0.15
    assert named(replace(plot_data(result), schedules=(low,)))["schedules"].panels[0][0].y.kind == "linear"


def test_the_points_left_out_lie_on_what_is_drawn():
    points = [(x / 4, 100 / (1 + x / 40)) for x in range(1600)]
    kept = smooth(points)
    assert len(kept) < 200
    at = iter(kept)
    (x0, y0), (x1, y1) = next(at), next(at)
    for x, y in points:
        while x > x1:
            (x0, y0), (x1, y1) = (x1, y1), next(at)
        assert y0 + (x - x0) / (x1 - x0) * (y1 - y0) == pytest.approx(y, abs=0.11)


def test_a_line_breaks_where_there_is_no_value():
    panel = Panel(Scale("linear", 0, 4), Scale("linear", 0, 1), WHOLE, "x")
    line = panel.line([(0, 0.5), (1, 0.5), (2, None), (3, 0.5), (4, 0.5)], "red")
    assert line.count("M") == 2
    assert panel.line([], "red").count("M") <= 1
