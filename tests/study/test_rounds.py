import json
import re
import time
import tomllib
from dataclasses import replace
from datetime import datetime

import pytest
from ledgers import kept
from pydantic import ValidationError
from study_cases import ROWS, arm_text, finished, read, stopped_again_and_again, trained_as

from tapered import study as studies
from tapered.study import open_store, train_runs, updates_made, verify
from tapered.study import verdict as concluding
from tapered.study.file.study import Study, to_toml
from tapered.study.plan import rounds
from tapered.study.plan.rounds import finished_rounds
from tapered.study.summary import summary
from tapered.workloads.own import StudyFileError

TOML = """
name = "rounds"
workload = "quadratic"
steps = 24
seeds = 3
evaluations = 4
baseline = "constant"
peaks = { low = 0.001, high = 0.004, count = 3 }
extend = 8
fresh = 2
""" + "".join(
    [
        arm_text("constant"),
        arm_text("late", "hold(0.5*steps).then(cooldown(0.5*steps))"),
        arm_text("as written", "constant(0.05)", more="fixed = true"),
    ]
)


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    trained_as(monkeypatch, ROWS)


def loaded(tmp_path, text=TOML):
    return read(tmp_path, text)


def peaks_tried(runs, arm):
    return sorted({run.peak for run in runs if run.arm == arm})


def test_the_grid_is_extended_until_the_best_is_inside(tmp_path):
    runs, result = finished(loaded(tmp_path), tmp_path / "s")
    grid = [0.001 * 2**i for i in range(11)]
    chosen = {arm.name: arm.best.peak for arm in result.arms}
    tried = peaks_tried(runs, "constant")
    assert tried == pytest.approx(grid[: len(tried)])
    assert 3 < len(tried) < 11
    assert peaks_tried(runs, "late") == tried  # equal budgets, though one arm may have been done before
    assert max(chosen["constant"], chosen["late"]) == tried[-2]
    assert [arm.edge for arm in result.arms] == [None] * 3
    assert {len(arm.peaks) for arm in result.arms if not arm.fixed} == {len(tried)}


def test_the_grid_is_extended_no_further_than_allowed(tmp_path):
    runs, result = finished(loaded(tmp_path, TOML.replace("extend = 8", "extend = 1")), tmp_path / "s")
    assert peaks_tried(runs, "constant") == [0.001, 0.002, 0.004, 0.008]
    assert [arm.edge for arm in result.arms] == ["highest", "highest", None]
    assert (
        "Best peaks at an edge of what was tried, beyond which better ones may lie: constant (0.008, the highest), "
        "late (0.008, the highest); extend peaks in the study file."
    ) in result.caveats
    runs, _ = finished(loaded(tmp_path, TOML.replace("extend = 8", "extend = 0")), tmp_path / "t")
    assert peaks_tried(runs, "constant") == [0.001, 0.002, 0.004]


def test_an_arms_own_grid_is_extended_by_its_own_ratio(tmp_path):
    text = TOML.replace('name = "late"', 'name = "late"\npeaks = { low = 10, high = 1000, count = 3 }')
    runs, result = finished(loaded(tmp_path, text.replace("extend = 8", "extend = 2")), tmp_path / "s")
    assert peaks_tried(runs, "late") == [1.0, 10.0, 100.0, 1000.0, 10000.0]  # one at each edge: the arms disagree
    assert peaks_tried(runs, "constant") == [0.0005, 0.001, 0.002, 0.004, 0.008]
    assert result.arms[1].best.diverged == 3


@pytest.mark.parametrize(
    ("best", "left", "added"),
    [
        ((1, 1), 3, (1, 0)),
        ((3, 3), 3, (0, 1)),
        ((1, 3), 3, (1, 1)),
        ((1, 3), 1, (0, 1)),
        ((1, 1, 3), 1, (1, 0)),
        ((2, 2), 3, (0, 0)),
        ((1, 3), 0, (0, 0)),
    ],
)
def test_which_edges_are_extended(tmp_path, best, left, added):
    arms = "".join(f'[[arms]]\nname = "{i}"\nrule = "SGD"\nlr = "constant(1.0)"\n' for i in range(len(best)))
    head = TOML.split("[[arms]]", maxsplit=1)[0].replace('baseline = "constant"', 'baseline = "0"')
    found = loaded(tmp_path, head.replace("low = 0.001, high = 0.004", "low = 1, high = 4") + arms)
    tasks = studies.forest_of(found).tasks
    values = {1: 1.0, 2: 2.0, 3: 4.0}
    runs = [replace(t.run, step=24, value=abs(t.run.peak - values[best[int(t.run.arm)]])) for t in tasks]
    assert rounds.edges(found, runs, left) == added


def test_fresh_seeds_confirm_the_chosen_peaks(tmp_path):
    runs, result = finished(loaded(tmp_path), tmp_path / "s")
    assert {(run.arm, run.peak, run.seed) for run in runs if run.seed > 2} == {
        (arm.name, arm.best.peak, seed) for arm in result.arms[:2] for seed in (3, 4)
    }
    assert {run.seed for run in result.fresh} == {3, 4}
    assert {run.seed for run in result.runs} == {0, 1, 2}
    assert result.comparisons[0].evidence.seeds == (3, 4)
    runs, result = finished(loaded(tmp_path, TOML.replace("fresh = 2", "fresh = 0")), tmp_path / "t")
    assert {run.seed for run in runs} == {0, 1, 2}
    assert result.comparisons[0].fresh is None


def test_what_is_not_said_follows_the_seeds():
    def study(**fields):
        arm = {"name": "a", "rule": "SGD", "lr": "constant(1.0)"}
        grid = {"low": 1, "high": 2, "count": 3}
        whole = {"name": "n", "workload": "w", "steps": 1, "baseline": "a", "peaks": grid, "arms": [arm]}
        return Study.model_validate(whole | fields)

    assert (study(seeds=8).most_added, study(seeds=7).most_added) == (4, 0)
    assert study(seeds=10, first_seed=5).fresh_seeds == range(15, 25)
    assert (len(study(seeds=7).fresh_seeds), len(study(seeds=7, fresh=3).fresh_seeds)) == (0, 3)
    # as many as its comparisons take, at its alpha
    arms = [{"name": name, "rule": "SGD", "lr": "constant(1.0)"} for name in "abcdefgh"]
    fixed = [{"name": "z", "rule": "SGD", "lr": "constant(1.0)", "fixed": True}]
    for fields, count in (
        ({"arms": arms[:7]}, 8),
        ({"arms": arms[:7] + fixed}, 8),
        ({"arms": arms}, 9),
        ({"arms": arms, "seeds": 16}, 16),
        ({"arms": arms, "alpha": 0.01}, 11),
        ({"arms": arms, "seeds": 7}, 0),
        ({"arms": arms, "fresh": 8}, 8),
    ):
        assert len(study(**fields).fresh_seeds) == count
    alone = {"low": 1, "high": 1, "count": 1}
    assert (study(peaks=alone).most_added, len(study(peaks=alone).fresh_seeds)) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        (
            {"fresh": 8},
            "With fresh = 8 no verdict can be .*: 7 comparisons at alpha = 0.05 take 9 seeds; try fresh = 9.",
        ),
        ({"fresh": 0}, "With seeds = 8 no verdict can be .* take 9 seeds; try seeds = 9."),
        ({"seeds": 3}, "With seeds = 3 .*; try seeds = 9."),
        ({"fresh": 8, "alpha": 0.01}, "With fresh = 8 .* at alpha = 0.01 take 11 seeds; try fresh = 11."),
        (
            {"fresh": 8, "prune": {"rungs": [0.5], "probe": 0.1}},
            ".*; try fresh = 9, unless pruning is to leave fewer arms.",
        ),
        ({}, None),
        ({"fresh": 9}, None),
    ],
)
def test_a_study_that_cannot_say_helps_says_so(fields, note):
    arms = [{"name": name, "rule": "SGD", "lr": "constant(1.0)"} for name in "abcdefgh"]
    grid = {"low": 1, "high": 2, "count": 3}
    whole = {"name": "n", "workload": "w", "steps": 1, "baseline": "a", "peaks": grid, "arms": arms}
    said = Study.model_validate(whole | fields).lacks
    assert said is None if note is None else re.fullmatch(note, said)
    assert Study.model_validate(whole | {"arms": arms[:1], "fresh": 1}).lacks is None  # compares nothing
    with pytest.raises(ValidationError, match="alpha=1e-06 for 7 comparisons"):
        Study.model_validate(whole | {"alpha": 1e-6})


def test_stopped_in_any_round_it_goes_on_and_trains_nothing_twice(tmp_path):
    found, seen = loaded(tmp_path), []
    whole, _ = finished(found, tmp_path / "whole", progress=seen.append)
    runs, total, times = stopped_again_and_again(found, tmp_path / "parts", 211)
    assert runs == whole
    assert total == sum(seen)
    with open_store(found, tmp_path / "parts") as store:
        planned, _ = finished_rounds(found, {run.key: run for run in runs})
        assert sum(updates_made(round_.forest, store) for round_ in planned) == total
    assert times > 5
    seen.clear()
    assert finished(found, tmp_path / "parts", progress=seen.append)[0] == whole
    assert seen == []


def test_verification_covers_every_round(tmp_path):
    found = loaded(tmp_path)
    with open_store(found, tmp_path / "s") as store:
        runs = train_runs(found, store)
        said = verify(found, store, runs, sample=1000)
        assert (said.runs, said.of, said.difference) == (len(runs), len(runs), 0.0)
        bundle = store.bundles()[-1]  # of fresh seeds
        assert {run.seed for branch in bundle.live for run in branch.runs} == {3, 4}
        rows = store.rows(bundle, studies.forest_of(found).rules[0])
        rows.params["w"][0, 0] += 0.25
        store.put(bundle, rows)
        assert verify(found, store, runs, sample=1000).difference == pytest.approx(0.25, rel=1e-5)


def test_the_ledger_has_every_round(tmp_path):
    before = time.time()
    runs, _ = finished(loaded(tmp_path), tmp_path / "s")
    study, again = (kept(tmp_path / "s", name) for name in ("rounds", "rounds, fresh seeds"))
    for trials, fresh in ((study.trials, False), (again.trials, True)):
        entered = [(t.params["arm"], t.params.get("peak"), t.params["seed"], t.value) for t in trials]
        mine = [(r.arm, r.peak, r.seed, r.value) for r in runs if (r.seed in (3, 4)) is fresh]
        assert sorted(entered, key=repr) == sorted(mine, key=repr)
    whole = study.trials + again.trials
    times = {trial.user_attrs["key"]: (trial.datetime_start, trial.datetime_complete) for trial in whole}
    assert times == {run.key: tuple(map(datetime.fromtimestamp, (run.began, run.ended))) for run in runs}
    assert all(before <= run.began <= run.ended <= time.time() for run in runs)
    assert any(run.began < run.ended for run in runs)
    assert max(trial.datetime_complete for trial in study.trials) <= min(t.datetime_start for t in again.trials)
    low, high = (getattr(study.trials[0].distributions["peak"], end) for end in ("low", "high"))
    assert low < 0.001
    assert high > 0.1


def test_the_test_split_is_read_once_for_the_chosen_runs(tmp_path, monkeypatch):
    seen, evaluate = [], concluding.evaluate

    def counted(workload, rows, split, **named):
        seen.append((split, len(rows)))
        return evaluate(workload, rows, split, **named)

    monkeypatch.setattr(concluding, "evaluate", counted)
    text = TOML.replace('"quadratic"', '"bmi"').replace("steps = 24", "steps = 8").replace("extend = 8", "extend = 1")
    runs, result = finished(loaded(tmp_path, text), tmp_path / "s")
    assert {split for split, _ in seen} == {"test"}
    assert sum(count for _, count in seen) == 3 * 3  # three arms at their best peaks, three seeds
    best = {run.key for arm in result.arms for run in arm.best.runs}
    assert len(runs) > len(best) == 9


def test_the_result_goes_into_json(tmp_path):
    stated = loaded(tmp_path)
    _, result = finished(stated, tmp_path / "s")
    found = json.loads(json.dumps(summary(result), allow_nan=False))
    assert sum(run["fresh"] for run in found["every_run"]) == 4
    assert Study.model_validate(tomllib.loads(found["file"])) == stated.study
    text = to_toml(result.asked.study)  # the grid as it became
    assert loaded(tmp_path, text).study == result.asked.study
    assert "above" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("extend = 8", "extend = -1", "extend: "),
        ("fresh = 2", "fresh = -1", "fresh: "),
        ("low = 0.001, high = 0.004, count = 3", "low = 0.1, high = 0.1, count = 1", "extend needs the ratio"),
        ("extend = 8", "prune = { rungs = [0.3] }", "rung 0.3 is no evaluation; expected a multiple of 1/4"),
        ("extend = 8", "prune = { rungs = [0.5, 0.25] }", r"do not ascend; try \[0.25, 0.5\]"),
        ("extend = 8", "prune = { rungs = [] }", "prune.rungs: "),
        ("extend = 8", "prune = { rungs = [0.75], probe = 0.5 }", "ends after the run"),
        ("extend = 8", "prune = { rungs = [0.5], keep = 1.5 }", "prune.keep: "),
        ("extend = 8", "prune = { rung = [0.5] }", 'prune.rung is no field of a study; try "rungs"'),
        ("extend = 8", "tune = { trials = 4, samplers = 1 }", 'tune.samplers is no field of a study; try "sampler"'),
        ("extend = 8", "tune = { trials = 4 }\nprune = { rungs = [0.5] }", "tune and prune exclude each other"),
        ("fresh = 2", "tune = { trials = 4 }", "tune and extend exclude each other"),
        ("extend = 8", 'tune = { trials = 4, sampler = "grid" }', "has a grid of 3 and is asked for 4 trials"),
        ("constant(1.0)", "constant({a})", r"\{a\} in lr has no range; try space = \{ a = "),
        ('lr = "constant(1.0)"', 'lr = "constant(1.0)"\nspace = { a = { low = 1, high = 2 } }', "stands in no text"),
        ('constant(1.0)"', 'constant({a})"\nspace = { a = { low = 1, high = 2 } }', "try tapered tune FILE"),
        ('constant(1.0)"', 'constant({a})"\nspace = { a = { low = 2, high = 1 } }', "leave nothing to search"),
        ('constant(1.0)"', 'constant({a})"\nspace = { a = { low = 0, high = 1, log = true } }', "on no log scale"),
        ('constant(1.0)"', 'constant({a})"\nspace = { a = { low = 0, high = 1 } }\ntrials = [{ peak = 1 }]', "lacks"),
        ("fixed = true", "fixed = true\ntrials = [{ peak = 1 }]", "exclude each other"),
    ],
)
def test_bad_settings_are_refused(tmp_path, old, new, message):
    assert old in TOML
    with pytest.raises(StudyFileError, match=message):
        loaded(tmp_path, TOML.replace(old, new, 1))


def test_a_file_with_everything_reads_back(tmp_path):
    text = TOML.replace("extend = 8", "extend = 2\nprune = { rungs = [0.25, 0.5], keep = 0.4, probe = 0.1 }")
    found = loaded(tmp_path, text).study
    assert Study.model_validate(tomllib.loads(to_toml(found))) == found
