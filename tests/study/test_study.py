import json
import sys
import tomllib
from dataclasses import replace

import pytest
import torch
from ledgers import kept
from study_cases import LOOP, MODES, ROWS, arm_text, finished, planned, read, trained_as
from tomlkit.exceptions import TOMLKitError

from tapered.files.errors import StoreError
from tapered.study import (
    conclude,
    default_folder,
    forest_of,
    open_store,
    train_runs,
    updates_made,
    verify,
)
from tapered.study.file.read import BUILT_IN, STUDIES
from tapered.study.file.read import read as stated
from tapered.study.file.study import Study, to_toml
from tapered.study.store.text import rows_to_tensors
from tapered.study.train import grow, trainer
from tapered.study.train.grow import RunError
from tapered.training import capacity
from tapered.training.advance import Mode, evaluate, evaluated
from tapered.training.workload import quadratic
from tapered.workloads.own import StudyFileError

TINY = (
    """
name = "tiny"
workload = "quadratic"
steps = 24
seeds = 2
evaluations = 3
baseline = "constant"
peaks = { low = 0.01, high = 0.1, count = 2 }
"""
    + arm_text("constant")
    + arm_text("linear", "polynomial_decay(decay_steps=steps, end=0.0)")
)
HYPERS = """
options = { epsilon = "hat" }
hypers = { beta1 = 0.8, weight_decay = "constant(0.01)" }
fixed = true
"""
FIXED = arm_text("as written", "constant(0.05)", rule="Adam", more=HYPERS)


@pytest.fixture(autouse=True)
def loop(monkeypatch):
    trained_as(monkeypatch, LOOP)


def loaded(tmp_path, text=TINY, **options):
    return read(tmp_path, text, **options)


def test_a_study_from_file_to_verdict(tmp_path):
    found = loaded(tmp_path, TINY + FIXED)
    runs, result = finished(found, tmp_path / "s")
    assert [(r.arm, r.peak, r.seed) for r in runs] == [
        *(("constant", peak, seed) for peak in (0.01, 0.1) for seed in (0, 1)),
        *(("linear", peak, seed) for peak in (0.01, 0.1) for seed in (0, 1)),
        *(("as written", None, seed) for seed in (0, 1)),
    ]
    assert all(run.step == 24 and [step for step, _ in run.curve] == [0, 8, 16, 24] for run in runs)
    assert all(run.value == run.curve[-1][1]["loss"] for run in runs)
    assert result.updates == 10 * 24
    assert [c.arm for c in result.comparisons] == ["linear"]
    assert result.comparisons[0].verdict.word == "not enough seeds"
    assert result.comparisons[0].test is None
    assert result.sentence.startswith("Too few seeds to tell linear from constant (it takes 8 for 1 comparison): ")


def test_a_finished_study_trains_nothing(tmp_path):
    found = loaded(tmp_path)
    first, _ = finished(found, tmp_path / "s")
    seen = []
    with open_store(found, tmp_path / "s") as store:
        again = train_runs(found, store, progress=seen.append)
    assert seen == []
    assert again == first


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
@pytest.mark.parametrize("at", [1, 8, 30, 48, 100])
def test_a_stopped_study_goes_on_where_it_was(tmp_path, monkeypatch, undisturbed, at, mode):
    trained_as(monkeypatch, mode)
    found, rows = loaded(tmp_path), 1 if mode.kind == "loop" else 8
    whole = undisturbed(TINY, mode).runs
    seen = []
    with open_store(found, tmp_path / "parts") as store:
        part = train_runs(found, store, progress=seen.append, stop=lambda: sum(seen) >= at)
        assert at <= sum(seen) < at + rows
        assert updates_made(forest_of(found), store) == sum(seen)
        assert part == [run for run in whole if run in part]
    with open_store(found, tmp_path / "parts") as store:
        runs = train_runs(found, store, progress=seen.append)
    assert sum(seen) == forest_of(found).plan.to_run == 8 * 24 - 4  # a seed and peak share the first update
    assert runs == whole


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
def test_a_killed_study_goes_on_from_what_was_kept(tmp_path, monkeypatch, undisturbed, mode):
    trained_as(monkeypatch, mode)
    whole = undisturbed(TINY, mode).runs
    monkeypatch.setattr(grow, "SAVE_SECONDS", 0.0)
    found, seen = loaded(tmp_path), []

    def killed(updates):
        seen.append(updates)
        if sum(seen) >= 20:
            raise KeyboardInterrupt

    with open_store(found, tmp_path / "s") as store:
        with pytest.raises(KeyboardInterrupt):
            train_runs(found, store, progress=killed)
        assert updates_made(forest_of(found), store) == sum(seen[:-1])  # all but the update it was killed in
    with open_store(found, tmp_path / "s") as store:
        runs = train_runs(found, store)
    assert runs == whole


FORKED = """
name = "forked"
workload = "quadratic"
steps = 30
seeds = 3
evaluations = 4
baseline = "constant"
peaks = { low = 0.01, high = 0.1, count = 2 }
""" + "".join(
    [
        arm_text("constant"),
        arm_text("the same", "1.0 * constant(1.0)"),
        arm_text("late", "hold(20).then(cooldown(10))"),
        arm_text("early", "hold(11).then(0.5 * hold(9)).then(0.5 * cooldown(10))"),
        arm_text("early, then constant", "hold(11).then(constant(0.5))"),
        arm_text("another rule", "hold(9).then(cooldown(21))", rule="Adam"),
    ]
)


def ends(found, folder):
    """Run -> its tensors, whatever the bundles."""
    with open_store(found, folder) as store:
        forest, tensors = forest_of(found), {}
        for bundle in store.bundles():
            rows = store.rows(bundle, forest.rule(bundle)) if bundle.live else None
            for i, branch in enumerate(bundle.live):
                tensors |= dict.fromkeys(branch.keys, rows_to_tensors(rows.take([i])))
        return tensors


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
@pytest.mark.parametrize("peaks", ["low = 0.01, high = 0.1", "low = 0.1, high = 1e6"])
def test_results_depend_on_neither_sharing_nor_bundles(tmp_path, monkeypatch, mode, peaks):
    trained_as(monkeypatch, mode)
    found, results = loaded(tmp_path, FORKED.replace("low = 0.01, high = 0.1", peaks)), []
    for i, (shared, rows) in enumerate([(True, 4096), (True, 1), (False, 4096), (False, 1), (True, 9)]):
        monkeypatch.setattr(trainer, "bundle_rows", lambda *_, n=rows: n)
        with open_store(found, tmp_path / str(i)) as store:
            made = []
            runs = train_runs(found, store, shared=shared, progress=made.append)
            forest = forest_of(found, shared=shared)
            assert len(store.bundles()) == (2 if rows == 4096 else len(forest.plan.trees) if rows == 1 else 4)
        results.append((runs, ends(found, tmp_path / str(i))))
        if "1e6" not in peaks:
            assert sum(made) == forest.plan.to_run
    assert forest_of(found).plan.ratio > 1.5
    first, tensors = results[0]
    assert any(run.diverged is not None for run in first) == ("1e6" in peaks)
    for runs, others in results[1:]:
        assert repr(runs) == repr(first)
        assert others.keys() == tensors.keys()
        for key, parts in tensors.items():
            assert all(torch.equal(parts[name], others[key][name]) for name in parts)


@pytest.mark.parametrize(("mode", "updates"), [(LOOP, 130), (ROWS, 130), (ROWS, 61)])
def test_stopped_again_and_again_is_as_if_undisturbed(tmp_path, monkeypatch, undisturbed, mode, updates):
    trained_as(monkeypatch, mode)
    text = FORKED.replace("high = 0.1", "high = 1e6")
    found, total, uneven, other = loaded(tmp_path, text), 0, 0, undisturbed(text, mode)
    monkeypatch.setattr(trainer, "bundle_rows", lambda *_: 4096)  # 24 rows, of which 8 advance at a time
    whole, runs = other.runs, []
    while len(runs) < len(whole):
        made = []
        with open_store(found, tmp_path / "parts") as store:
            runs = train_runs(found, store, progress=made.append, stop=lambda seen=made: sum(seen) >= updates)
            uneven += any(len({branch.step for branch in bundle.live}) > 1 for bundle in store.bundles())
        total += sum(made)
    assert repr(runs) == repr(whole)
    assert total <= forest_of(found).plan.to_run
    assert uneven
    mine, theirs = (ends(found, folder) for folder in (tmp_path / "parts", other.folder))
    assert all(torch.equal(mine[key][name], t) for key, parts in theirs.items() for name, t in parts.items())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert grow.is_out_of_memory(error) == expected


def test_torchs_own_failed_allocation_counts():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert grow.is_out_of_memory(caught.value)


def test_a_bundle_is_as_large_as_memory_allows(tmp_path, monkeypatch):
    found = loaded(tmp_path, FORKED)
    forest = forest_of(found)
    rule = forest.rules[0]
    size = capacity.row_bytes(found.workload, rule)
    # a point of 4 numbers and its curvature before and after, its gradient, and 8 samples of 4 twice in backward
    assert 3 * 16 <= size <= 3 * 16 + 2 * 16 + 3 * 8 * 16
    monkeypatch.setattr(capacity, "free_memory", lambda: 4 * 20 * size)
    assert capacity.most_rows(found.workload, rule) == 16
    monkeypatch.setattr(capacity, "free_memory", lambda: 4 * 5 * size)
    assert capacity.most_rows(found.workload, rule) == 5
    monkeypatch.setattr(capacity, "free_memory", lambda: 0)
    assert capacity.most_rows(found.workload, rule) == 1
    monkeypatch.undo()
    assert 2**20 < capacity.free_memory() < 2**50


def test_an_evaluation_of_a_trunk_counts_for_all_its_runs(tmp_path, monkeypatch):
    found, rows = loaded(tmp_path, FORKED), []
    monkeypatch.setattr(grow, "evaluated", lambda w, r, **k: rows.append(len(r)) or evaluated(w, r, **k))
    trained_as(monkeypatch, ROWS)
    with open_store(found, tmp_path / "s") as store:
        runs = train_runs(found, store)
    assert {tuple(step for step, _ in run.curve) for run in runs} == {(0, 8, 15, 22, 30)}
    # SGD: 6 trunks up to step 11, then also those that leave; two arms stay one row to the end
    assert rows == [6, 6, 12, 24, 24] + [6] * 5


@pytest.mark.parametrize(
    ("failing", "error"),
    [(1, MemoryError()), (3, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))],
)
def test_a_bundle_is_halved_when_memory_runs_out(tmp_path, monkeypatch, undisturbed, failing, error):
    mode = Mode("rows", 32, "a test says so")
    trained_as(monkeypatch, mode)
    found, whole = loaded(tmp_path, FORKED), undisturbed(FORKED, mode).runs
    advance, calls = grow.advance, []

    def short(workload, rows, *arguments, mode, **options):
        calls.append((len(rows), mode.width))
        if len(calls) > 2 and len(rows) * failing > 7:
            raise error
        return advance(workload, rows, *arguments, mode=mode, **options)

    monkeypatch.setattr(grow, "advance", short)
    runs, result = finished(found, tmp_path / "s")
    assert runs == whole
    assert min(width for _, width in calls) == 8
    assert {mode.width for arms, mode in result.cost.modes if "constant" in arms} == {8}
    with open_store(found, tmp_path / "s") as store:
        assert verify(found, store, runs).difference == 0


def test_one_row_that_does_not_fit_is_said(tmp_path, monkeypatch):
    def short(*_, **__):
        raise MemoryError("too large")

    monkeypatch.setattr(grow, "advance", short)
    found = loaded(tmp_path)
    with open_store(found, tmp_path / "s") as store, pytest.raises(RunError, match=r"seed 0, .* raised MemoryError"):
        train_runs(found, store)


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
def test_verification_finds_what_differs(tmp_path, monkeypatch, mode):
    trained_as(monkeypatch, mode)
    found = loaded(tmp_path, FORKED.replace("high = 0.1", "high = 1e6"))
    with open_store(found, tmp_path / "s") as store:
        runs = train_runs(found, store)
        said = verify(found, store, runs, sample=40)
        assert (said.runs, said.of, said.difference) == (36, 36, 0.0)
        assert verify(found, store, runs, sample=5).runs == 5
        bundle = next(b for b in store.bundles() if b.live and len(b.live[0].runs) == 1)
        rows = store.rows(bundle, forest_of(found).rule(bundle))
        rows.params["w"][0, 0] += 0.25
        store.put(bundle, rows)
        assert verify(found, store, runs, sample=40).difference == pytest.approx(0.25, rel=1e-5)
        lost = [replace(run, diverged=None if run.diverged is None else run.diverged - 1) for run in runs]
        assert verify(found, store, lost, sample=40).difference == float("inf")


def test_threads_are_the_studys_and_restored(tmp_path):
    found, seen = loaded(tmp_path, TINY.replace("seeds = 2", "seeds = 1\nthreads = 2")), []
    with open_store(found, tmp_path / "s") as store:
        train_runs(found, store, progress=lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


def test_equal_arms_are_no_evidence(tmp_path):
    text = TINY.replace("polynomial_decay(decay_steps=steps, end=0.0)", "constant(1.0)")
    _, result = finished(loaded(tmp_path, text, seeds=8, steps=3), tmp_path / "s")
    assert result.comparisons[0].verdict.word == "no evidence"
    assert result.comparisons[0].paired.ties == 8
    assert result.comparisons[0].p == 1.0
    assert result.sentence.startswith("linear is not shown to differ from constant: ")
    assert result.sentence.endswith(", equal on all of 8 fresh seeds.")


def test_decay_helps_on_the_noisy_quadratic(tmp_path):
    text = TINY.replace("low = 0.01, high = 0.1, count = 2", "low = 0.1, high = 0.1, count = 1")
    _, result = finished(loaded(tmp_path, text, seeds=8, steps=150), tmp_path / "s")
    assert result.comparisons[0].verdict.word == "helps"
    assert result.sentence.startswith("linear beats constant: ")


def test_a_diverged_run_is_counted(tmp_path):
    text = TINY.replace("low = 0.01, high = 0.1", "low = 0.01, high = 100")
    runs, result = finished(loaded(tmp_path, text, steps=60), tmp_path / "s")
    constant = result.arms[0]
    assert [p.diverged for p in constant.peaks] == [0, 2]
    assert constant.best.peak == 0.01
    assert any("4 runs diverged" in caveat for caveat in result.caveats)
    assert [run.diverged is None for run in runs] == [True, True, False, False] * 2


@pytest.mark.parametrize("together", [False, True])
def test_the_raising_run_is_named_and_the_rest_is_kept(tmp_path, together):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from tapered.training.workload import quadratic\n"
        "left = iter(range(80))\n"
        "def loss(outputs, targets):\n"
        "    if next(left, None) == 79: raise RuntimeError('no more')\n"
        "    return outputs.square().mean()\n"
        "problem = replace(quadratic(), name='mine', loss=loss)\n"
    )
    text = TINY.replace('"quadratic"', '"mine.py:problem"')
    found = loaded(tmp_path, text if together else text.replace("end=0.0)", "initial=0.9, end=0.0)"))
    with open_store(found, tmp_path / "s") as store:
        said = (
            "constant', peak 0.1, seed 0, trained together with 1 other run,"
            if together
            else "linear', peak 0.01, seed 0"
        )
        with pytest.raises(RunError, match=rf"arm '{said} raised RuntimeError after step \d+: no more"):
            train_runs(found, store)
        assert sum(run.finished for run in store.runs()) == 2
        assert len(train_runs(found, store)) == 8


def test_a_workloads_file_may_hold_dataclasses_with_postponed_annotations(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "json.py").write_text(  # and bear the name of a module that is imported already
        "from __future__ import annotations\n"
        "from dataclasses import dataclass, replace\n"
        "from tapered.training.workload import quadratic\n"
        "@dataclass\n"
        "class Config:\n"
        "    noise: float = 0.25\n"
        "problem = replace(quadratic(noise=Config().noise), name='mine')\n"
    )
    assert loaded(tmp_path, TINY.replace('"quadratic"', '"json.py:problem"')).workload.name == "mine"
    assert json.dumps(1) == "1"
    assert sys.modules["json"] is json


def test_a_changed_workload_file_is_another_study(tmp_path):
    source = "from tapered.training.workload import quadratic\ndef problem(noise=1.0): return quadratic(noise=noise)\n"
    (tmp_path / "mine.py").write_text(source)
    text = TINY.replace('"quadratic"', '"mine.py:problem"\nworkload_options = { noise = 0.5 }')
    first = loaded(tmp_path, text)
    (tmp_path / "mine.py").write_text(source + "# changed\n")
    second = loaded(tmp_path, text)
    assert default_folder(first) != default_folder(second)
    differing = {k for k, v in first.facts.items() if second.facts[k] != v}
    assert differing == {"workload.file"}
    assert loaded(tmp_path, text.replace("0.5", "0.6")).facts["workload.train"] != first.facts["workload.train"]


def test_a_workload_file_imports_what_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_it.py").write_text("NOISE = 0.25\n")
    source = (
        "from beside_it import NOISE\nfrom tapered.training.workload import quadratic\n"
        "problem = quadratic(noise=NOISE)\n"
    )
    (tmp_path / "mine.py").write_text(source)
    train = loaded(tmp_path, TINY.replace('"quadratic"', '"mine.py:problem"')).workload.train.tensors[0]
    assert torch.equal(train, quadratic(noise=0.25).train.tensors[0])


@pytest.mark.parametrize("kind", ["loop", "rows"])
@pytest.mark.parametrize("evaluations", [1, 3])
def test_rows_that_wait_for_others_are_not_finished(tmp_path, monkeypatch, kind, evaluations):
    """Kept after every update: a row at its last step has no value before all are there and are evaluated."""
    trained_as(monkeypatch, MODES[kind])
    fork = TINY.replace("polynomial_decay(decay_steps=steps, end=0.0)", "hold(12).then(cooldown(12))")
    text = fork.replace("evaluations = 3", f"evaluations = {evaluations}").replace("seeds = 2", "seeds = 3")
    values = []
    for seconds in (1e9, 0.0):
        monkeypatch.setattr(grow, "SAVE_SECONDS", seconds)
        with open_store(loaded(tmp_path, text), tmp_path / f"{seconds:g}") as store:
            runs = train_runs(loaded(tmp_path, text), store)
        trials = kept(tmp_path / f"{seconds:g}").trials
        values.append({trial.user_attrs["key"]: trial.value for trial in trials})
        assert {run.key: run.value for run in runs} == values[-1]
    assert values[0] == values[1]


def test_the_test_split_is_evaluated_at_the_best_peaks(tmp_path):
    found = planned("bmi", seeds=2, steps=5)
    with open_store(found, tmp_path / "s") as store:
        runs = train_runs(found, store)
        result = conclude(found, store, runs)
        arm = result.arms[1]
        rule, by_key = found.study.arms[1].build(), {}
        for bundle in store.bundles():
            points = evaluate(found.workload, store.rows(bundle, rule), "test")
            by_key |= {key: p for branch, p in zip(bundle.live, points, strict=True) for key in branch.keys}
        expected = [by_key[run.key] for run in arm.best.runs]
    assert arm.test == {name: tuple(e[name] for e in expected) for name in ("loss", "accuracy")}
    gains = [a - b for a, b in zip(result.arms[0].test["loss"], arm.test["loss"], strict=True)]
    assert result.comparisons[0].test.mean == pytest.approx(sum(gains) / 2)


def test_a_full_disk_is_no_failed_run(tmp_path, monkeypatch):
    def full(*_):
        raise StoreError("no space")

    found = loaded(tmp_path)
    with open_store(found, tmp_path / "s") as store:
        monkeypatch.setattr(store, "put", full)
        with pytest.raises(StoreError, match="no space"):
            train_runs(found, store)


def test_keys_are_unique_and_follow_what_makes_the_run(tmp_path):
    found = loaded(tmp_path)
    keys = [task.run.key for task in forest_of(found).tasks]
    assert len(set(keys)) == len(keys) == 8
    assert keys == [task.run.key for task in forest_of(found).tasks]
    for changes in ({"steps": 25}, {"seeds": 3}):
        others = [task.run.key for task in forest_of(loaded(tmp_path, **changes)).tasks]
        assert (set(keys) <= set(others)) == ("seeds" in changes)


def test_steps_stand_for_the_studys_own(tmp_path):
    found = loaded(tmp_path, steps=100)
    assert str(found.study.arms[1].schedule(100, 0.5)(50)) == "0.25"


def test_a_horizon_in_epochs(tmp_path):
    found = loaded(tmp_path, TINY.replace("steps = 24", "epochs = 0.5"))
    assert found.steps == 64
    assert loaded(tmp_path, TINY.replace("steps = 24", "epochs = 0.5"), steps=10).steps == 10
    assert found.marks == (0, 21, 43, 64)


def test_the_frozen_copy_reads_back_as_the_same_study(tmp_path):
    found = loaded(tmp_path, TINY.replace('"tiny"', '"tiny \\"q\\" \\u0001 é"') + FIXED, seeds=5)
    for text in (to_toml(found.study), found.stated.text):
        assert Study.model_validate(tomllib.loads(text)) == found.study
    with open_store(found, tmp_path / "s"):
        assert (tmp_path / "s" / "study.toml").read_text() == found.stated.text


@pytest.mark.parametrize("changes", [{}, {"quick": True}, {"seeds": 9}, {"steps": 400}, {"seeds": 9, "quick": True}])
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_frozen_copy_keeps_what_was_said_beside_the_fields(name, changes):
    found, text = stated(name, **changes), (STUDIES / f"{name}.toml").read_text()
    assert Study.model_validate(tomllib.loads(found.text)) == found.study
    said = [line for line in text.splitlines() if line.startswith("#")]
    assert said == [line for line in found.text.splitlines() if line.startswith("#")]


def test_a_field_that_is_replaced_says_what_it_replaces_and_loses_what_was_said_of_it(tmp_path):
    text = "# claim: it helps\n" + TINY.replace("steps = 24", "steps = 24  # three epochs") + "\n[quick]\nsteps = 8\n"
    said = loaded(tmp_path, text, quick=True).stated.text
    assert "steps = 8 # in the place of 24\n" in said
    assert "# claim: it helps" in said
    assert "three epochs" not in said


def test_a_text_that_only_pythons_reader_understands_is_frozen_without_its_comments(monkeypatch, tmp_path):
    def broken(_):
        raise TOMLKitError("no")

    monkeypatch.setattr("tomlkit.parse", broken)
    found = loaded(tmp_path, "# claim\n" + TINY)
    assert "claim" not in found.stated.text
    assert Study.model_validate(tomllib.loads(found.stated.text)) == found.study


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = 2", "seed = 2", 'seed is no field of a study; try "seeds"'),
        ('rule = "SGD"', 'rule = "SGD"\npeak = 3', r'arms\.0\.peak is no field of a study; try "peaks"'),
        ("count = 2 }", "count = 2, base = 10 }", r"peaks\.base is no field"),
        ("seeds = 2", "seeds = 0", "seeds: got 0; expected a number of at least 1"),
        ("seeds = 2", 'seeds = "many"', "seeds: got 'many'; expected a whole number"),
        ('name = "tiny"', "", "name is missing"),
        ('name = "tiny"', 'name = ""', "name: "),
        ("steps = 24", "steps = 24\nepochs = 2", "exactly one of steps and epochs"),
        ("steps = 24", "", "exactly one of steps and epochs"),
        ("seeds = 2", "seeds = 2\nalpha = 1.5", "alpha: "),
        ("seeds = 2", 'seeds = 2\nmetric = "los"', "metric='los' is unknown to workload 'quadratic'; try \"loss\""),
        ("seeds = 2", 'seeds = 2\ndirection = "down"', "direction: "),
        ("low = 0.01, high = 0.1", "low = 0.1, high = 0.01", "do not span 2 peaks"),
        ("low = 0.01", "low = 0", r"peaks\.low: "),
        ("low = 0.01", "low = nan", r"peaks\.low: "),
        ('baseline = "constant"', 'baseline = "constnat"', "baseline='constnat' is not a tuned arm; try \"constant\""),
        ('name = "linear"', 'name = "constant"', "arms share the name 'constant'"),
        ('rule = "SGD"', 'rule = "SDG"', "rule='SDG' is unknown; try \"SGD\""),
        ('rule = "SGD"', 'rule = "SGD"\nhypers = { momentm = 0.9 }', "hypers has 'momentm'"),
        ('rule = "SGD"', 'rule = "SGD"\noptions = { amsgrad = true }', "options .* do not fit SGD"),
        ('rule = "SGD"', 'rule = "SGD"\nfixed = true\npeaks = { low = 1, high = 9, count = 2 }', "exclude each other"),
        ('rule = "SGD"', 'rule = "SGD"\npeaks = { low = 1, high = 9, count = 3 }', "3 peaks and the study 2"),
        ("constant(1.0)", "constnat(1.0)", "arm 'constant': lr = 'constnat"),
        ("constant(1.0)", "__import__('os')", "arm 'constant': lr = "),
        ("constant(1.0)", "constant('nan')", "arm 'constant': lr = "),
        ('workload = "quadratic"', 'workload = "quadratics"', "workload='quadratics' is unknown; try \"quadratic\""),
        ('workload = "quadratic"', 'workload = "nowhere.py:x"', "there is no file"),
        ('workload = "quadratic"', 'workload = "my.toml:x"', "is no Python file"),
        ('workload = "quadratic"', 'workload = "broken.py:x"', "raised ZeroDivisionError"),
        ('workload = "quadratic"', 'workload = "fine.py:problm"', "defines no 'problm'; try \"problem\""),
        ('workload = "quadratic"', 'workload = "fine.py:number"', "is int; expected a Workload"),
        ('workload = "quadratic"', 'workload = "quadratic"\nworkload_options = { nose = 1 }', "nose"),
        ("[[arms]]", "[[arms", "is no TOML"),
    ],
)
def test_bad_files_are_refused(tmp_path, old, new, message):
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "fine.py").write_text("problem = None\nnumber = lambda: 3")
    assert old in TINY
    with pytest.raises(StudyFileError, match=message) as e:
        loaded(tmp_path, TINY.replace(old, new, 1))
    assert "pydantic" not in str(e.value)


def test_files_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(StudyFileError, match="cannot be read"):
        planned(str(tmp_path / "none.toml"))
    with pytest.raises(StudyFileError, match="'bmo' is no built-in study; try \"bmi\""):
        planned("bmo")


def test_the_built_in_study_is_the_one_asked_about():
    found = planned("bmi")
    arms = {arm.name: arm for arm in found.study.arms}
    asked = arms["as asked: 0.15 decaying"].path(found.steps, None)
    assert asked.hypers["lr"][1000] == pytest.approx(0.15 * 0.9999**1000)
    assert arms["as asked: 1e-4"].path(found.steps, None).hypers["lr"][7] == 1e-4
    decays = arms["exponential decay"].path(found.steps, 0.1).hypers["lr"]
    assert decays[0] == 0.1
    assert decays[found.steps // 2] == pytest.approx(0.1 * 0.01**0.5)
    assert found.study.seeds == 8
    assert not arms["constant"].fixed
