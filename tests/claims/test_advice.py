"""The table of advice: every schedule parses, every source is named, every figure is one that was measured."""

import re
import runpy
from pathlib import Path

import pytest

from tapered.claims import advice
from tapered.claims.advice import FEWEST, table
from tapered.claims.kept import kept
from tapered.schedules import constant, linear, parse
from tapered.study import plan_of, read
from tapered.study.plan.cells import cells_of
from tapered.theory import worst_case

ROOT = Path(__file__).parents[2]
PURPOSES = ["finetune", "pretrain", "vision", "small-data", "budget", "unknown-length"]
every = pytest.mark.parametrize("purpose", PURPOSES)


def test_there_is_one_for_each_purpose():
    assert list(table()) == PURPOSES
    with pytest.raises(ValueError, match=r"got --for 'fintune'; try \"finetune\""):
        advice.advice("fintune")


@every
@pytest.mark.parametrize("steps", [FEWEST, 101, 999, 123_457])
def test_its_schedules_end_with_the_run(purpose, steps):
    given = table()[purpose]
    shape = given.shape(steps)
    rates = shape.table(steps + 1)
    assert shape.horizon == steps
    assert (rates[0], rates.max(), rates[-1]) == (0, 1, 0)
    assert parse(str(shape)) == shape
    for text in given.rivals.values():
        rival = parse(text, {"steps": steps}).table(steps + 1)
        assert 0.9 < rival.max() <= 1
        assert rival[-1] < 0.11


@every
def test_too_few_steps_are_refused(purpose):
    with pytest.raises(ValueError, match="got --steps=99; expected at least 100, since warmup is a share of them"):
        table()[purpose].shape(99)


@every
def test_nothing_is_advised_without_a_source_and_a_measurement(purpose):
    given = table()[purpose]
    assert given.sources
    assert given.measured
    for source in given.sources:
        assert re.fullmatch(r"https://[a-z.]+\.(org|com|co)/\S+", source.link)
        assert min(len(source.name), len(source.says)) > 3
    for found in given.measured:
        names = re.findall(r"\{([^:}]+)", found.says)
        assert names
        assert set(names) <= set(kept()[found.claim]["figures"])
        assert not re.search(r"[{}]", found.told())


@every
def test_figures_are_those_of_the_results_and_none_is_written_down(purpose):
    for found in table()[purpose].measured:
        figures = kept()[found.claim]["figures"]
        for name, form in re.findall(r"\{([^:}]+):?([^}]*)\}", found.says):
            assert format(figures[name], form) in found.told()
        assert not re.search(r"\d\.\d", re.sub(r"\{[^}]*\}", "", found.says))


@every
def test_peaks_are_named_by_a_source_or_are_a_best_one(purpose):
    given = table()[purpose]
    said = " ".join(source.says for source in given.sources)
    named = {float(text) for text in re.findall(r"\d(?:\.\d)?e-\d", said)}
    figures = {name: value for name, value in kept()["schedule-free"]["figures"].items() if "best peak" in name}
    best = {round(figures[name] * by, 4) for name in figures for by in (10**-0.5, 1, 10**0.5)}  # and its neighbours
    assert given.peaks[0] < given.peaks[1]
    assert all(peak in named or any(abs(peak / other - 1) < 0.07 for other in best) for peak in given.peaks)
    assert given.peaks[0] <= given.peak <= given.peaks[1]


def test_the_worst_case_is_that_of_the_schedule():
    given = table()["pretrain"]
    assert given.ratio(1000) == worst_case(given.shape(1000), 1000).ratio
    steps, rise = 1000, 50
    u = [min(k / rise, 1) if k < rise else 1 - (k - rise) / (steps - rise) for k in range(steps)]
    assert given.shape(steps).table(steps).tolist() == pytest.approx(u)
    assert worst_case(linear(steps=steps), steps).ratio <= given.ratio(steps) < worst_case(constant(1.0), steps).ratio
    assert given.ratio(10**9) == given.ratio(10**5)


@every
def test_its_study_reads_and_plans(purpose, tmp_path):
    given = table()[purpose]
    path = tmp_path / "mine.toml"
    path.write_text(given.study(400))
    stated = read(str(path))
    arms = {arm.name: arm for arm in stated.study.arms}
    assert list(arms) == ["constant", "recommended", *given.rivals]
    assert (stated.steps, stated.study.baseline) == (400, "constant")
    kinds = {(arm.rule, arm.options.get("decay", "l2"), arm.hypers.get("weight_decay", 0)) for arm in arms.values()}
    assert kinds == {("Adam", "decoupled" if given.rule == "AdamW" else "l2", given.weight_decay)}
    assert len(cells_of(plan_of(stated))) == len(arms) * stated.study.peaks.count
    asked = stated.study.peaks
    assert asked.low < given.peaks[0] < given.peaks[1] < asked.high
    assert all(name in stated.study.known for name in (source.name for source in given.sources))


def test_the_page_says_what_the_table_says():
    page = runpy.run_path(str(ROOT / "benchmarks" / "evidence" / "advice_page.py"))
    text = (ROOT / "docs" / "which-schedule.md").read_text()
    assert page["text"]() in text, "the page is old; run: python benchmarks/evidence/advice_page.py"


def test_its_study_takes_a_workload_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("from tapered.training.workload import quadratic\nproblem = quadratic()\n")
    Path("study.toml").write_text(table()["budget"].study(200, "mine.py:problem"))
    assert read("study.toml").workload.name == "quadratic"
    assert "yours here" not in Path("study.toml").read_text()


def test_the_line_of_code_is_python():
    import torch

    import tapered

    model = torch.nn.Linear(2, 1)
    for given in table().values():
        space = {"tapered": tapered, "model": model} | {
            name: getattr(tapered, name) for name in ("warmup", "hold", "cooldown", "linear", "cosine_decay")
        }
        exec(given.code(1000), space)
        optimizer = space["optimizer"]
        assert type(optimizer).__name__ == given.rule
        assert str(given.peak * given.shape(1000)) == optimizer.param_groups[0]["schedules"]["lr"]
