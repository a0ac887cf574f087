"""Results that the tests of the page share."""

from dataclasses import replace
from math import nan

import pytest
import torch
from report_cases import NASTY, TOML, Outline, better, cut, invented, many_text
from study_cases import planned

from tapered.report import render
from tapered.study import forest_of
from tapered.study.result import Cost, Pruning, analyse
from tapered.training.advance import Mode


@pytest.fixture(scope="session")
def result(tmp_path_factory):
    """A study with hostile names and values: NaN, infinity, 1e308, a diverged run."""
    path = tmp_path_factory.mktemp("r") / "my.toml"
    path.write_text(TOML.replace("NAME", NASTY))
    found = planned(str(path))
    runs = [invented(task.run) for task in forest_of(found).tasks]
    cost = Cost(210, 105, None, ((("constant", NASTY), Mode("rows", 16, "it is <b>faster</b>")),))
    return analyse(found.asked, runs, {}, {"torch": torch.__version__, "machine": "<b>x</b>"}, cost, facts=found.facts)


@pytest.fixture(scope="session")
def confirmed(tmp_path_factory):
    """Eight seeds and eight fresh ones; a peak was pruned, runs diverged, one of them fresh."""
    path = tmp_path_factory.mktemp("c") / "my.toml"
    path.write_text(TOML.replace("NAME", NASTY).replace("seeds = 3", "seeds = 8\nfresh = 8"))
    found = planned(str(path))
    runs = [cut(invented(task.run)) for task in forest_of(found).tasks]
    fresh = [replace(run, seed=run.seed + 8, key=run.key + "f") for run in runs if run.peak == 0.1]
    fresh = [replace(run, value=run.value + (0.25 if run.arm == NASTY else 0)) for run in fresh]
    fresh[-1] = replace(fresh[-1], value=nan, diverged=3, step=3)
    pruning = Pruning(of=500, saved=56, probes=7, charged={NASTY: 7}, chosen=())
    cost = Cost(210, 105, "a test says so", ((("constant",), Mode("loop", 1, "why not")),), pruning)
    return analyse(found.asked, runs, {}, {"torch": torch.__version__}, cost, fresh, facts=found.facts)


@pytest.fixture(scope="session")
def page(result):
    return render(result, "tapered study my.toml --store='a b'")


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """Nine arms, eight of them against the first; ten seeds and ten fresh ones."""
    path = tmp_path_factory.mktemp("m") / "my.toml"
    path.write_text(many_text())
    found = planned(str(path))
    arms = [arm.name for arm in found.study.arms]
    runs = [better(task.run, arms) for task in forest_of(found).tasks]
    fresh = [replace(run, seed=run.seed + 10, key=run.key + "f") for run in runs if run.peak == 0.1]
    cost = Cost(210, 105, None, ())
    return analyse(found.asked, runs, {}, {"torch": torch.__version__}, cost, fresh, facts=found.facts)


@pytest.fixture(scope="session")
def outline(page):
    found = Outline()
    found.feed(page)
    assert found.open == []
    return found
