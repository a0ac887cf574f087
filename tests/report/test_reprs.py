"""No value prints on more than about 500 letters, however much it holds."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import pytest
import torch
from report_cases import Outline
from study_cases import planned

import tapered
from tapered import rules, theory
from tapered.convert import from_torch
from tapered.explain import explain_run
from tapered.range_test import ramp, range_test
from tapered.report import figures, plot_data
from tapered.results import Plot
from tapered.study import forest_of
from tapered.study.plan.rounds import finished_rounds
from tapered.training.advance import tabulate
from tapered.training.rows import start
from tapered.training.workload import quadratic
from tapered.workloads import WORKLOADS

MOST = 500


def values(found, seen):
    """All values of tapered's in a value, itself among them."""
    if id(found) in seen:
        return
    seen[id(found)] = found
    if type(found).__module__.startswith("tapered"):
        yield found
    inner = []
    if is_dataclass(found):
        inner = [getattr(found, field.name) for field in fields(found)]
    elif hasattr(type(found), "model_fields"):
        inner = [getattr(found, name) for name in type(found).model_fields]
    elif isinstance(found, Mapping):
        inner = [*found.values()][:60]
    elif isinstance(found, list | tuple):
        inner = found[:60]
    for each in inner:
        yield from values(each, seen)


def of_a_study(result):
    yield result
    for runs in (result.runs, result.fresh):
        yield finished_rounds(planned("bmi"), {run.key: run for run in runs})
    yield [plot_data(result), figures(plot_data(result))]


def of_one_run():
    problem = quadratic()
    yield [range_test(problem, rules.SGD(), low=1e-3, high=10, points=64), ramp(problem, rules.SGD(), low=1e-4)]
    yield explain_run(problem, tabulate(rules.Adam(), 60, lr=0.01), by_parameter=True)
    yield [start(problem, rules.Adam(), [0, 1]), tabulate(rules.Adam(), 900, lr=0.01)]
    yield [WORKLOADS["bmi"](), problem]
    yield tapered.Recipe(groups=[tapered.Group(f"*.{i}.bias", lr=0.1) for i in range(40)])
    parts = [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(40)]
    yield from_torch(torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD(parts, lr=0.1), 100))


def of_theory():
    for steps in (3, 900, 1200):
        yield theory.worst_case(tapered.linear(steps=steps), steps)
        yield theory.quadratic(tapered.linear(0.01, steps=steps), steps, dimensions=2)
        yield theory.shares(1e-3, 0.1, steps)


def long(roots):
    seen = {}
    found = [(len(repr(each)), type(each).__qualname__) for root in roots for each in values(root, seen)]
    assert len({name for _, name in found}) > 2
    return {(size, name) for size, name in found if size > MOST}


def test_values_of_studies_print_short(many, confirmed):
    plan = planned("bmi-full")
    assert long([*of_a_study(many), *of_a_study(confirmed), plan, forest_of(plan)]) == set()
    assert repr(many).startswith("StudyResult('many': 9 arms, 360 runs; ")
    assert repr(many.comparisons[0]).startswith("Comparison(better: decay 1 beats ")
    assert repr(plan.study) == "Study('bmi-full': 15 arms, 7 peaks, 10 seeds; to_toml writes all of it)"


def test_values_of_runs_and_of_theory_print_short():
    assert long([*of_one_run(), *of_theory()]) == set()


HTML = [
    (lambda: range_test(quadratic(), rules.SGD(), low=1e-3, high=10, points=9), "9 rates from 0.001 to 10"),
    (lambda: ramp(quadratic(), rules.SGD(), low=1e-4), "ramp: "),
    (lambda: explain_run(quadratic(), tabulate(rules.Adam(), 20, lr=0.01)), "1 group, "),
    (lambda: theory.quadratic(tapered.linear(0.01, steps=20), 20), "after 20 steps"),
    (lambda: theory.quadratic(1e9, 200, rule="SGD"), "inf after 200 steps"),
    (lambda: theory.shares(1e-3, 0.1, 900), "of 900 updates"),
]


@pytest.mark.parametrize(("make", "said"), HTML)
def test_a_notebook_shows_it(make, said):
    found = make()
    html, outline = found._repr_html_(), Outline()
    outline.feed(html)
    assert outline.open == outline.references == []
    assert said in repr(found)
    assert said in html
    assert len(html) < 30_000


def test_many_panels_stand_side_by_side(many):
    figure = next(figure for figure in figures(plot_data(many)) if figure.name == "curves")
    root = ET.fromstring(Plot(figure, "many")._repr_svg_())
    places = [(float(one.get("x")), float(one.get("y"))) for one in root.findall("{http://www.w3.org/2000/svg}svg")]
    assert len(set(places)) == len(places) == 9
    assert len({x for x, _ in places}) == 4


def test_a_notebook_shows_a_comparison(confirmed):
    html = confirmed.comparisons[0]._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
