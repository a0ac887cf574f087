import json
from contextlib import suppress
from dataclasses import replace
from math import inf

import numpy as np
import optuna
import pytest
from ledgers import kept
from study_cases import LOOP, arm_text, finished, planned, read, stopped_again_and_again, trained_as

from tapered.cli.main import main
from tapered.files import whole as written
from tapered.study import forest_of, open_store, train_runs, verify
from tapered.study.file.study import Prune
from tapered.study.plan import pruning as prune
from tapered.study.plan.facts import frozen_facts
from tapered.study.result import is_diverged
from tapered.study.summary import summary
from tapered.training.advance import Mode
from tapered.workloads.own import StudyFileError

# arms that decay late share a trunk; "drops" decays at once and looks best halfway
TOML = """
name = "pruned"
workload = "quadratic"
steps = 80
seeds = 3
evaluations = 8
baseline = "constant"
peaks = { low = 0.005, high = 0.1, count = 5 }
prune = { rungs = [0.25, 0.5], keep = 0.5, probe = 0.125 }
""" + "".join(
    [
        arm_text("constant"),
        arm_text("late", "hold(0.6*steps).then(cooldown(0.4*steps))"),
        arm_text("later", "hold(0.9*steps).then(cooldown(0.1*steps))"),
        arm_text("drops", "hold(0.1*steps).then(constant(0.01))", rule="Adam"),
        arm_text("as written", "constant(0.05)", more="fixed = true"),
    ]
)
WHOLE = TOML.replace("prune = {", "# prune = {")
WIDE = Mode("rows", 64, "a test says so")


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    trained_as(monkeypatch, WIDE)


def by_key(runs):
    return {run.key: run for run in runs}


def expected_by_hand(runs, probed):
    """The keys that go at each rung, from whole runs: numpy's means, sorted; ``probed`` gives a run's probe."""
    alive = {arm: sorted({r.peak for r in runs if r.arm == arm}) for arm in ("constant", "late", "later", "drops")}
    out = []
    for rung in (20, 40):
        gone = []
        for arm, peaks in alive.items():
            means = [np.mean([dict(r.curve)[rung]["loss"] for r in runs if (r.arm, r.peak) == (arm, p)]) for p in peaks]
            keep = sorted(np.argsort(means)[: -(-len(peaks) // 2)])
            gone += [(arm, peaks[i]) for i in range(len(peaks)) if i not in keep]
            alive[arm] = [peaks[i] for i in keep]
        ends = {
            arm: min(np.mean([probed(r, rung) for r in runs if (r.arm, r.peak) == (arm, p)]) for p in peaks)
            for arm, peaks in alive.items()
        }
        last = sorted(ends.values())[-(-len(ends) // 2) - 1]
        for arm in [arm for arm, end in ends.items() if end > last and arm != "constant"]:
            gone += [(arm, peak) for peak in alive.pop(arm)]
        out.append({r.key for r in runs if (r.arm, r.peak) in gone})
    return out


def test_what_goes_is_what_a_hand_would_choose(tmp_path, undisturbed):
    loaded, plain = read(tmp_path, TOML), read(tmp_path, WHOLE)
    left, whole = undisturbed(TOML, WIDE), undisturbed(WHOLE, WIDE).runs
    pruned = left.runs
    assert by_key(pruned).keys() == by_key(whole).keys()
    cache = {}

    def probed(run, rung):
        """The probe trained from step 0 as a study of its own: the arm's rate, left at the rung by a cooldown."""
        if (run.arm, rung) not in cache:
            arm = next(arm for arm in plain.study.arms if arm.name == run.arm)
            rate = f"({arm.lr}).cooldown({rung}, 10)"
            one = replace(
                plain,
                study=plain.study.model_copy(
                    update={"arms": (arm.model_copy(update={"lr": rate}),), "baseline": arm.name, "name": f"{rung}"}
                ),
            )
            found, _ = finished(one, tmp_path / f"{run.arm}-{rung}")
            cache[run.arm, rung] = {(r.peak, r.seed): dict(r.curve)[rung + 10]["loss"] for r in found}
        return cache[run.arm, rung][run.peak, run.seed]

    first, second = expected_by_hand(whole, probed)
    assert {r.key for r in pruned if r.pruned == 20} == first
    assert {r.key for r in pruned if r.pruned == 40} == second
    assert first
    assert second
    with open_store(loaded, left.folder) as store:
        probes = {run.key: run for run in store.runs() if run.probe}
        candidates = [run for run in whole if run.peak is not None]
        found = [(r, rung, probes.get(prune.probe_key(loaded, r, rung))) for r in candidates for rung in (20, 40)]
    assert len(probes) == sum(probe is not None for *_, probe in found) > 20
    assert all(probe.value == probed(run, rung) for run, rung, probe in found if probe is not None)


@pytest.mark.parametrize("mode", [LOOP, WIDE], ids=lambda mode: mode.kind)
def test_a_run_is_the_same_up_to_where_it_was_pruned(undisturbed, mode):
    left, whole = undisturbed(TOML, mode), by_key(undisturbed(WHOLE, mode).runs)
    pruned, result = left.runs, left.result
    for run in pruned:
        other = whole[run.key]
        if run.pruned is None:
            assert run == other
        else:
            assert run.step == run.pruned == run.curve[-1][0]
            assert run.curve == other.curve[: len(run.curve)]
            assert run.finished
            assert np.isnan(run.value)
            assert not is_diverged(run)
    assert sum(run.pruned is not None for run in pruned) > len(pruned) / 3
    assert all(run.pruned is None for run in pruned if run.arm == "as written")
    assert {arm.name: arm.best.pruned for arm in result.arms}["constant"] == 0


def test_what_was_saved_is_what_was_not_made(tmp_path, undisturbed):
    loaded, left = read(tmp_path, TOML), undisturbed(TOML, WIDE)
    runs, result = left.runs, left.result
    found, to_run = result.cost.pruning, forest_of(loaded).plan.to_run
    assert found.of == to_run == result.cost.to_run
    assert left.updates == to_run - found.saved + found.probes
    assert 0.3 * to_run < found.saved < 0.7 * to_run
    assert found.same is None
    # each arm is charged for its runs and for the probes of each, as if nothing were shared
    for arm in result.arms:
        mine = sum(run.step for run in runs if run.arm == arm.name)
        assert arm.budget.made == mine + found.charged.get(arm.name, 0)
    assert found.charged["constant"] == found.charged["late"] == (3 * 3 + 2 * 3) * 10
    assert found.probes < sum(found.charged.values())
    assert summary(result)["pruning"]["saved"] == found.saved


def test_a_shared_trunk_goes_on_as_long_as_one_run_below_it(tmp_path):
    text = TOML.replace(", probe = 0.125", "")
    head, tail = text.split('[[arms]]\nname = "drops"')
    grid = "peaks = { low = 0.05, high = 0.5, count = 5 }"  # one peak in common, best for one arm only
    text = head.replace('name = "late"', f'name = "late"\n{grid}') + '[[arms]]\nname = "drops"' + tail
    text = text.replace("low = 0.005, high = 0.1", "low = 0.0005, high = 0.05")
    loaded = read(tmp_path, text)
    runs, _ = finished(loaded, tmp_path / "s")
    at = {(r.arm, r.pruned is None) for r in runs if r.peak == 0.05}
    assert ("late", True) in at or ("constant", True) in at
    with open_store(loaded, tmp_path / "s") as store:
        said = verify(loaded, store, runs, sample=1000)
    assert said.difference == 0
    assert said.runs == sum(run.pruned is None for run in runs) < len(runs)


@pytest.mark.parametrize("updates", [331, 557])
def test_stopped_again_and_again_is_as_if_undisturbed(tmp_path, undisturbed, updates):
    loaded, whole = read(tmp_path, TOML), undisturbed(TOML, WIDE)
    runs, total, times = stopped_again_and_again(loaded, tmp_path / "parts", updates)
    assert repr(runs) == repr(whole.runs)
    assert total == whole.updates
    assert times > 2
    with open_store(loaded, tmp_path / "parts") as parts, open_store(loaded, whole.folder) as other:
        assert repr(sorted(parts.runs(), key=lambda r: r.key)) == repr(sorted(other.runs(), key=lambda r: r.key))


@pytest.mark.parametrize("at", range(1, 40, 6))
def test_killed_while_something_is_kept_it_goes_on(tmp_path, monkeypatch, undisturbed, at):
    """Whatever is being written when the power goes: a bundle, its probes, or the bundle without pruned rows."""
    text = TOML.replace("seeds = 3", "seeds = 2").replace("count = 5", "count = 3")
    loaded, whole = read(tmp_path, text), undisturbed(text, WIDE).runs
    write, left = written.replace, [at]

    def dying(path, data):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        write(path, data)

    with open_store(loaded, tmp_path / "s") as store:
        monkeypatch.setattr("tapered.files.whole.replace", dying)
        with suppress(KeyboardInterrupt):
            train_runs(loaded, store)
        monkeypatch.setattr("tapered.files.whole.replace", write)
    runs, _ = finished(loaded, tmp_path / "s")
    assert repr(runs) == repr(whole)


def test_without_pruning_it_says_what_pruning_would_have_done(tmp_path, undisturbed):
    cut = undisturbed(TOML, WIDE)
    pruned, result = cut.runs, cut.result
    replayed, other = finished(read(tmp_path, TOML, whole=True), tmp_path / "whole")
    assert repr(replayed) == repr(undisturbed(WHOLE, WIDE).runs)
    mine, theirs = result.cost.pruning, other.cost.pruning
    assert (mine.saved, mine.probes, mine.charged) == (theirs.saved, theirs.probes, theirs.charged)
    chosen = {arm.name: arm.best.peak for arm in other.arms}
    lost = {arm.name for arm in result.arms if arm.best.pruned}
    assert {name: best for name, _, best in theirs.chosen} == {n: p for n, p in chosen.items() if p is not None}
    assert {name for name, left, _ in theirs.chosen if left is None} == lost
    kept = {arm.name: arm.best.peak for arm in result.arms if arm.name not in lost and not arm.fixed}
    assert {name: left for name, left, _ in theirs.chosen if left is not None} == kept
    winner = min((arm for arm in other.arms if not arm.fixed), key=lambda arm: arm.best.mean).name
    assert theirs.winner == winner
    assert theirs.same == (winner in kept and all(chosen[name] == peak for name, peak in kept.items()))
    assert len(pruned) == len(replayed)


def test_whole_and_pruned_do_not_mix_in_one_folder():
    loaded = planned("bmi", steps=5)
    study = loaded.study.model_copy(update={"prune": Prune(rungs=(0.5,))})
    facts = [frozen_facts(replace(loaded.stated, study=study, whole=whole)) for whole in (False, True)]
    assert {name for name in facts[0] if facts[0][name] != facts[1][name]} == {"results"}
    with pytest.raises(StudyFileError, match="prunes nothing, so that there is nothing to compare"):
        planned("bmi", whole=True)


def known_at(values, rung=20, direction="minimize"):
    """A study of one arm, and runs with these values at the rung: peak -> a value a seed."""
    loaded = planned("bmi", steps=80, seeds=len(next(iter(values.values()))))
    study = loaded.study.model_copy(update={"prune": Prune(rungs=(0.25,), keep=0.5), "direction": direction})
    tasks = [t for t in forest_of(loaded).tasks if t.run.arm == "constant"]
    grid = sorted({t.run.peak for t in tasks})[: len(values)]
    columns = dict(zip(grid, values.values(), strict=True))
    forest = replace(forest_of(loaded), tasks=tuple(t for t in tasks if t.run.peak in columns))
    runs = {}
    for task in forest.tasks:
        value = columns[task.run.peak][task.run.seed]
        curve = ((0, {"loss": 1.0}),) + (() if value is None else ((rung, {"loss": value}),))
        lost = rung - 3 if value is None else None
        runs[task.run.key] = replace(task.run, step=lost or rung, curve=curve, diverged=lost)
    gone = prune.peaks_lost(replace(loaded, study=study), forest, rung, runs)
    return [peak for peak, key in zip(values, grid, strict=True) if any(runs[k].peak == key for k in gone)]


@pytest.mark.parametrize(
    ("values", "gone"),
    [
        ({1: [1.0, 1.2], 2: [2.0, 0.0], 3: [3.0, 3.0], 4: [0.5, 0.4]}, [1, 3]),
        ({1: [1.0, 1.0], 2: [2.0, 2.0], 3: [3.0, 3.0]}, [3]),  # of three the half is two
        ({1: [9.0, 9.0], 2: [None, 0.0]}, [2]),  # a run that diverged is behind every whole one
        ({1: [None, None], 2: [None, 9.0]}, [1]),
        ({1: [inf, 1.0], 2: [2.0, 2.0]}, [1]),
        ({1: [1.0, 1.0], 2: [1.0, 1.0], 3: [1.0, 1.0]}, []),  # nobody goes who is as good as one that stays
        ({1: [5.0, 5.0]}, []),
    ],
)
def test_who_goes_at_a_rung(values, gone):
    assert known_at(values) == gone


def test_a_metric_that_is_to_rise():
    assert known_at({1: [1.0], 2: [2.0], 3: [3.0], 4: [4.0]}, direction="maximize") == [1, 2]


def test_pruned_runs_are_pruned_trials_and_probes_none(undisturbed):
    left = undisturbed(TOML, WIDE)
    runs = left.runs
    study = kept(left.folder, "pruned")
    assert len(study.trials) == len(runs)
    states = [trial.state for trial in study.trials]
    assert states.count(optuna.trial.TrialState.PRUNED) == sum(run.pruned is not None for run in runs)
    lost = next(trial for trial in study.trials if trial.state == optuna.trial.TrialState.PRUNED)
    assert lost.user_attrs["result"] in {"pruned at step 20", "pruned at step 40"}
    assert max(lost.intermediate_values) in {20, 40}


def test_the_command_prints_what_was_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text(TOML)
    assert main(["study", "my.toml"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Pruning left out" in out
    assert main(["study", "my.toml", "--no-prune", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pruning"]["same"] in {True, False}
    assert main(["study", "my.toml", "--plan"]) == 0
    assert "Pruning leaves some of these runs before their end." in capsys.readouterr().out
