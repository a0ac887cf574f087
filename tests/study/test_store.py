import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from math import nan

import optuna
import pytest
import torch
from ledgers import kept

from tapered import rules
from tapered.files import whole
from tapered.files.errors import StoreError
from tapered.study.store import ledger_file
from tapered.study.store.folder import Store
from tapered.study.store.ledger import Space
from tapered.study.store.runs import Branch, Bundle, Run, run_key
from tapered.training.advance import Mode, advance
from tapered.training.rows import start, tabulate
from tapered.training.workload import quadratic

RULE = rules.Adam()
SPACE = Space("q <script>", "minimize", "loss", ["a", "b"], [0.1, 1.0], [0, 1, 2])
FRESH = ", fresh seeds"
FACTS = {"study.steps": "50", "versions": "torch 2"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "study"


def opened(folder, facts=FACTS):
    return Store(folder, 'name = "q"\n', facts, SPACE)


LOOP = Mode("loop", 1, "a test")


def trained(seeds=(0,), step=50, *, peak=0.1, diverged=None):
    """A bundle of a row a seed, and the rows; ``diverged`` seeds have none."""
    problem, lost = quadratic(), diverged or {}
    path = tabulate(RULE, 50, lr=0.1)
    whole = [seed for seed in seeds if seed not in lost]
    rows = start(problem, RULE, whole) if whole else None
    if whole:
        rows = advance(problem, rows, [path] * len(whole), step, mode=LOOP)
    branches = [
        Branch(
            runs=(Run(run_key({"seed": seed}), "a", peak, seed, 50),),
            step=lost.get(seed, step),
            curve=((0, {"loss": 3.5, "distance": nan}), (step, {"loss": 0.1 + 0.2, "distance": float("inf")})),
            losses=rows.losses[whole.index(seed)] if seed in whole else (),
            diverged=lost.get(seed),
        )
        for seed in seeds
    ]
    return Bundle(tuple(branches)), rows


def same(a, b):
    assert (a.seeds, a.steps, a.losses, a.diverged) == (b.seeds, b.steps, b.losses, b.diverged)
    assert a.buffers.keys() == b.buffers.keys()
    for name in a.params:
        assert torch.equal(a.params[name], b.params[name])
        assert torch.equal(a.counts[name], b.counts[name])
        for key in a.state[name]:
            assert torch.equal(a.state[name][key], b.state[name][key])


def test_a_bundle_and_its_rows_come_back(folder):
    bundle, rows = trained((0, 1, 2), diverged={1: 7})
    with opened(folder) as store:
        store.put(bundle, rows)
    with opened(folder) as store:
        [found] = store.bundles()
        back = store.rows(found, RULE)
    assert repr(found) == repr(bundle)  # NaN is not equal to itself
    assert back.seeds == (0, 2)
    same(back, rows)
    assert len(list((folder / "runs").iterdir())) == 2


def test_a_bundle_that_diverged_as_a_whole_has_no_rows(folder):
    with opened(folder) as store:
        store.put(*trained((0, 1), diverged={0: 3, 1: 4}))
    with opened(folder) as store:
        assert [run.diverged for run in store.runs()] == [3, 4]
        assert store.bundles()[0].finished
    assert len(list((folder / "runs").iterdir())) == 1


def test_rows_that_were_kept_go_on_as_if_nothing_happened(folder):
    problem, path = quadratic(), tabulate(RULE, 50, lr=0.1)
    bundle, rows = trained(step=20)
    with opened(folder) as store:
        store.put(bundle, rows)
        assert not store.bundles()[0].finished
        back = store.rows(bundle, RULE)
    a, b = (advance(problem, r, [path], 50, mode=LOOP) for r in (back, trained(step=0)[1]))
    same(a, b)


def test_a_later_state_takes_the_place_of_an_earlier_one(folder):
    with opened(folder) as store:
        for step in (20, 50):
            store.put(*trained(step=step))
        assert [run.step for run in store.runs()] == [50]
    assert len(list((folder / "runs").glob("*.safetensors"))) == 1


def test_what_a_kill_left_behind_is_cleared_away(folder):
    with opened(folder) as store:
        store.put(*trained())
        kept = sorted((folder / "runs").iterdir())
    half, other = "0123456789abcdef0123", "0123456789ab"
    for name in (f"{half}-{other}.safetensors", f"{half}-{other}.safetensors.tmp", f"{half}.json.tmp"):
        (folder / "runs" / name).write_bytes(b"half")
    with opened(folder):
        assert sorted((folder / "runs").iterdir()) == kept


def test_what_no_study_made_stays(folder):
    """A user's own models, whatever lies beside them."""
    with opened(folder) as store:
        store.put(*trained())
    mine = [folder / "runs" / name for name in ("best.safetensors", "model-00001-of-00002.safetensors", "notes.tmp")]
    for path in mine:
        path.write_bytes(b"mine")
    with opened(folder) as store:
        store.put(*trained(step=20))
    assert all(path.read_bytes() == b"mine" for path in mine)


@pytest.mark.parametrize("killed", [None, 0, 1, 2, 3])
def test_a_bundle_is_replaced_by_its_halves_whenever_it_is_killed(folder, monkeypatch, killed):
    bundle, rows = trained((0, 1, 2), step=20)
    halves = [(Bundle(bundle.branches[:1]), rows.take([0])), (Bundle(bundle.branches[1:]), rows.take([1, 2]))]
    with opened(folder) as store:
        store.put(bundle, rows)
        left, write = [killed], whole.replace

        def dying(path, data):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] = None if left[0] is None else left[0] - 1
            write(path, data)

        monkeypatch.setattr("tapered.files.whole.replace", dying)
        if killed is None:
            store.replace(bundle, halves)
        else:
            with pytest.raises(KeyboardInterrupt):
                store.replace(bundle, halves)
        monkeypatch.undo()
    with opened(folder) as store:
        found = store.bundles()
        assert sorted(run.seed for run in store.runs()) == [0, 1, 2]
        assert len(found) == (2 if killed is None else 1)
        for part in found:
            same(store.rows(part, RULE), rows.take([run.seed for branch in part.branches for run in branch.runs]))
    assert len(list((folder / "runs").glob("*.json"))) == len(found)


def test_optuna_reads_the_ledger(folder, capfd):
    with opened(folder) as store:
        store.put(*trained((0, 2), diverged={2: 20}))
        store.put(*trained((1,), step=20))
        store.put(*trained((0, 2), diverged={2: 20}))
    assert capfd.readouterr() == ("", "")
    [first, second] = kept(folder, "q <script>").trials
    assert (first.params, first.value) == ({"arm": "a", "peak": 0.1, "seed": 0}, 0.1 + 0.2)
    assert first.intermediate_values == {0: 3.5, 50: 0.1 + 0.2}
    assert first.state == optuna.trial.TrialState.COMPLETE
    assert second.state == optuna.trial.TrialState.FAIL
    assert second.user_attrs["result"] == "diverged at step 20"
    assert second.user_attrs["key"] == run_key({"seed": 2})


def test_a_ledger_that_lags_behind_is_filled_up(folder):
    with opened(folder) as store:
        store.put(*trained())
    (folder / "ledger.db").unlink()
    with opened(folder):
        pass
    study = kept(folder, "q <script>")
    assert [trial.params["seed"] for trial in study.trials] == [0]


def test_the_ledger_has_the_times_of_runs_names_its_values_and_keeps_fresh_seeds_apart(folder):
    """Also where it is made anew: times stand beside the runs."""
    bundle, rows = trained((0, 1, 2), diverged={1: 7})
    times = {0: (1e9, 1e9 + 90.5), 1: (1e9, 1e9 + 30), 2: (None, None)}
    dated = [
        replace(branch, began=times[branch.runs[0].seed][0], ended=times[branch.runs[0].seed][1])
        for branch in bundle.branches
    ]
    space = replace(SPACE, fresh=[2])
    before = datetime.now()  # noqa: DTZ005 - as Optuna has it
    with Store(folder, 'name = "q"\n', FACTS, space) as store:
        store.put(replace(bundle, branches=tuple(dated)), rows)
    for _ in range(2):
        chose, again = (kept(folder, name) for name in (SPACE.name, SPACE.name + FRESH))
        first, second = sorted(chose.trials, key=lambda trial: trial.params["seed"])
        [third] = again.trials
        assert chose.metric_names == again.metric_names == ["validation loss of one seed"]
        assert "the luckiest seed's: no finding" in chose.user_attrs["best trial"]
        assert (first.datetime_start, first.datetime_complete) == tuple(map(datetime.fromtimestamp, times[0]))
        assert second.duration.total_seconds() == 30
        assert third.datetime_start == third.datetime_complete >= before  # not known: when it was entered
        assert (chose.best_trial.params["seed"], again.best_trial.params["seed"]) == (0, 2)
        assert [trial.user_attrs["fresh"] for trial in (first, second, third)] == [False, False, True]
        (folder / "ledger.db").unlink()
        Store(folder, 'name = "q"\n', FACTS, space).__exit__(None, None, None)


def test_a_run_without_peak_has_none_in_the_ledger(folder):
    with opened(folder) as store:
        store.put(*trained(peak=None))
        assert store.runs()[0].peak is None
    study = kept(folder, "q <script>")
    assert study.trials[0].params == {"arm": "a", "seed": 0}


def test_another_study_is_refused_with_what_differs(folder):
    with opened(folder) as store:
        store.put(*trained())
    with pytest.raises(StoreError, match=r"study\.steps: 50 there, 60 now\n  study\.x: nothing there, 1 now\nRes") as e:
        opened(folder, {**FACTS, "study.steps": "60", "study.x": "1"})
    assert "versions" not in str(e.value)
    many = {f"study.x{i:02}": "1" for i in range(40)}
    with pytest.raises(StoreError, match=r"x11: nothing there, 1 now\n  and 28 more\nResults"):
        opened(folder, {**FACTS, **many})
    assert "--store" in str(e.value)
    with opened(folder):  # a refusal leaves no lock behind
        pass


def test_a_study_of_another_name_is_refused_by_its_name(folder):
    with opened(folder, {**FACTS, "study.name": "q"}) as store:
        store.put(*trained())
    with pytest.raises(StoreError, match=r"holds another study, q; this one is r\.\nResults of the two must not mix"):
        opened(folder, {**FACTS, "study.name": "r", "study.steps": "60"})


@pytest.mark.parametrize("left", [None, "{", b"\xff"], ids=["another's", "damaged", "no text"])
def test_a_folder_in_which_nothing_was_trained_takes_another_study(folder, left):
    with opened(folder) as store:
        store.put_mode("Adam()", LOOP)
    if left is not None:
        (folder / "frozen.json").write_bytes(left if isinstance(left, bytes) else left.encode())
    other = {**FACTS, "study.steps": "60"}
    with opened(folder, other) as store:
        assert store.modes == {}
        store.put(*trained())
    with pytest.raises(StoreError, match=r"study\.steps: 60 there, 50 now"):
        opened(folder)


def test_a_second_process_is_refused_and_told_of_the_first(folder):
    with opened(folder) as store:
        code = (
            "from tests_store import opened\n"
            "import pathlib, sys\n"
            "try: opened(pathlib.Path(sys.argv[1]))\n"
            "except Exception as e: print(e)"
        ).replace("tests_store", __name__)
        found = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        owner = (store.folder / "owner").read_text()
        assert owner.startswith("process ")
        assert f"is in use by {owner}" in found.stdout
    assert not (folder / "owner").exists()


def test_folders_that_are_none_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        opened(tmp_path / "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(StoreError, match="holds files but no study"):
        opened(tmp_path / "photos")
    with pytest.raises(StoreError, match="cannot be written"):
        opened(tmp_path / "file" / "below")
    assert sorted(p.name for p in (tmp_path / "photos").iterdir()) == ["cat.jpg"]


def test_a_ledger_that_is_no_database_is_refused_and_can_be_moved_away(folder):
    with opened(folder) as store:
        store.put(*trained())
    ledger = folder / "ledger.db"
    ledger.write_bytes(b"garbage" * 200)
    with pytest.raises(StoreError, match=r"ledger\.db is not a ledger of this study .* mv "):
        opened(folder)
    ledger.unlink()
    with opened(folder) as store:
        assert len(store.runs()) == 1


def sql(*statements):
    def change(path):
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return change


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), ""),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), ""),
        (sql("drop index ix_studies_study_name"), "it lacks ix_studies_study_name"),
        (sql("drop table trial_values"), "it lacks trial_values"),
        (sql("drop table alembic_version"), "it lacks alembic_version"),
    ],
)
def test_a_broken_ledger_is_set_aside_and_made_anew(folder, damage, why):
    with opened(folder) as store:
        store.put(*trained())
    for aside in ("ledger.db.bad", "ledger.db.bad1"):
        damage(folder / "ledger.db")
        before = (folder / "ledger.db").read_bytes()
        with pytest.warns(UserWarning, match=rf"ledger\.db is broken \(.*{why}\); it is .*{aside} now"), opened(folder):
            pass
        assert (folder / aside).read_bytes() == before
        study = kept(folder, "q <script>")
        assert [trial.params["seed"] for trial in study.trials] == [0]


@pytest.mark.parametrize("when", ["opened", "used"])
def test_a_locked_ledger_is_said_in_a_sentence(folder, monkeypatch, when):
    monkeypatch.setattr(ledger_file, "LOCK_SECONDS", 0.1)
    with opened(folder):
        pass
    with closing(sqlite3.connect(folder / "ledger.db")) as other:
        if when == "opened":
            other.execute("begin exclusive")
            with pytest.raises(StoreError, match=r"ledger\.db is locked by another process.* same command goes on"):
                opened(folder)
        else:
            with opened(folder) as store:
                other.execute("begin exclusive")
                with pytest.raises(StoreError, match=r"ledger\.db is locked by another process.* same command goes on"):
                    store.put(*trained())
        other.rollback()
    with opened(folder) as store:
        assert len(store.runs()) == (0 if when == "opened" else 1)


@pytest.mark.parametrize("left", [[], ["runs"], ["runs", "lock"], ["runs", "lock", "owner", "study.toml"]])
def test_a_study_killed_before_its_facts_are_frozen_goes_on(folder, left):
    folder.mkdir()
    for name in left:
        (folder / name).mkdir() if name == "runs" else (folder / name).write_text("")
    with opened(folder) as store:
        store.put(*trained())


def test_results_whose_facts_are_gone_are_refused(folder):
    with opened(folder) as store:
        store.put(*trained())
    (folder / "frozen.json").unlink()
    with pytest.raises(StoreError, match=r"frozen\.json is missing, which says what the runs beside it depend on"):
        opened(folder)


def test_somebody_elses_database_is_refused(folder):
    import sqlite3

    with opened(folder):
        pass
    (folder / "ledger.db").unlink()
    connection = sqlite3.connect(folder / "ledger.db")
    connection.execute("create table studies (name text)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="not a ledger of this study"):
        opened(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"branches": []}', '{"branches": [], "state": 1, "sha256": 2}'])
def test_a_damaged_bundle_is_refused(folder, text):
    bundle, rows = trained()
    with opened(folder) as store:
        store.put(bundle, rows)
    (folder / "runs" / f"{bundle.name}.json").write_text(text)
    with pytest.raises(StoreError, match=r"is damaged .* delete it and its runs are trained again"):
        opened(folder)


def test_a_bundle_under_anothers_name_is_refused(folder):
    bundle, rows = trained()
    with opened(folder) as store:
        store.put(bundle, rows)
    (folder / "runs" / f"{bundle.name}.json").rename(folder / "runs" / "0123.json")
    with pytest.raises(StoreError, match="not those that its name stands for"):
        opened(folder)


def test_a_damaged_state_is_refused(folder):
    bundle, rows = trained()
    with opened(folder) as store:
        store.put(bundle, rows)
        [state] = (folder / "runs").glob("*.safetensors")
        data = bytearray(state.read_bytes())
        data[-1] ^= 1
        state.write_bytes(bytes(data))
        with pytest.raises(StoreError, match="is not the file that was written"):
            store.rows(bundle, RULE)
        state.unlink()
        with pytest.raises(StoreError, match="is not the file that was written"):
            store.rows(bundle, RULE)


def test_modes_are_kept(folder):
    modes = {"Adam()": Mode("rows compiled", 64, "it is faster"), "SGD()": LOOP}
    with opened(folder) as store:
        for rule, mode in modes.items():
            store.put_mode(rule, mode)
    with opened(folder) as store:
        assert store.modes == modes
    for text in ("{", "[1]", '{"Adam()": {"kind": "loop"}}'):
        (folder / "modes.json").write_text(text)
        with pytest.raises(StoreError, match=r"modes\.json is damaged"):
            opened(folder)


def test_damaged_frozen_facts_are_refused(folder):
    with opened(folder) as store:
        store.put(*trained())
    (folder / "frozen.json").write_text("{")
    with pytest.raises(StoreError, match=r"frozen\.json is damaged"):
        opened(folder)


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_crash_while_saving_keeps_the_previous_state(folder, monkeypatch, call, at):
    problem, path = quadratic(), tabulate(RULE, 50, lr=0.1)
    with opened(folder) as store:
        store.put(*trained(step=20))
        left = [at]

        def fail_at(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return original(*arguments, **named)

        original = getattr(os, call)
        monkeypatch.setattr(os, call, fail_at)
        try:
            store.put(*trained(step=30))
            crashed = False
        except KeyboardInterrupt:
            crashed = True
        monkeypatch.undo()
    with opened(folder) as store:
        [bundle] = store.bundles()
        [run] = store.runs()
        rows = store.rows(bundle, RULE)
    assert run.step in ((20, 30) if crashed else (30,))
    assert crashed == (at <= {"open": 4, "fsync": 4, "replace": 2}[call])
    same(advance(problem, rows, [path], 50, mode=LOOP), trained(step=50)[1])


def test_a_full_disk_is_said_and_leaves_nothing_half_written(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with opened(folder) as store:
        store.put(*trained(step=20))
        before = sorted((folder / "runs").iterdir())
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"could not take 1 run .*No space left"):
            store.put(*trained(step=50))
        with pytest.raises(StoreError, match=r"could not take the mode of its rows .*No space left"):
            store.put_mode("Adam()", LOOP)
        assert sorted((folder / "runs").iterdir()) == before
        assert store.runs()[0].step == 20


def test_a_full_disk_does_not_keep_a_folder_from_being_read(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with opened(folder) as store:
        store.put(*trained())
    monkeypatch.setattr(os, "fsync", full)
    with opened(folder) as store:
        assert [run.finished for run in store.runs()] == [True]


def test_a_folder_that_is_gone_is_no_full_disk(folder):
    bundle, rows = trained(step=20)
    with opened(folder) as store:
        store.put(bundle, rows)
        shutil.rmtree(folder)
        for call in (
            lambda: store.put(bundle, rows),
            lambda: store.put_mode("Adam()", LOOP),
            lambda: store.rows(bundle, RULE),
        ):
            with pytest.raises(StoreError, match=r"study is gone, deleted or moved while the study ran; put it back"):
                call()
    assert not folder.exists()


def test_a_ledger_that_is_gone_is_made_anew(folder):
    with opened(folder) as store:
        (folder / "ledger.db").unlink()
        with pytest.raises(StoreError, match=r"ledger\.db is gone, .*the same command makes it anew"):
            store.put(*trained())
    with opened(folder) as store:
        assert len(store._ledger._known) == 1


def test_json_has_no_nan(folder):
    bundle, rows = trained()
    with opened(folder) as store:
        store.put(bundle, rows)

    def refuse(name):
        raise AssertionError(name)

    json.loads((folder / "runs" / f"{bundle.name}.json").read_text(), parse_constant=refuse)


def test_a_study_brings_in_neither_optuna_before_its_store_opens_nor_what_follows_an_optimizer():
    code = (
        "import tapered.study.store.folder, tapered.study, tapered.report, tapered.loggers.kinds, sys; "
        "print([name for name in ('optuna', 'torch._dynamo', 'tapered.attach') if name in sys.modules])"
    )
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{code}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
