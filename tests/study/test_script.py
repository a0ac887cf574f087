"""A study of a script: its runs are what the same loop gives by hand, however they come about, or it is refused."""

import json
import os
import re
import time
from dataclasses import replace

import pytest
from study_cases import finished, read
from study_scripts import COMMAND, CONSTANT, LATE, SCRIPT, STEPS, TABLE, by_hand, planned, stated, trained

from tapered import kind, report
from tapered.files.errors import StoreError
from tapered.scripts.asked import Asked
from tapered.scripts.slots import Slots
from tapered.study import conclude, open_store, train_runs, verify
from tapered.study.plan import forest_of
from tapered.study.script.asking import Asking
from tapered.study.script.begun import begun
from tapered.study.script.check import check
from tapered.study.script.checked import spacing
from tapered.study.script.errors import FailedRunsError, RefusedRunError
from tapered.study.script.forecast import script_forecast
from tapered.study.script.judge import Judge
from tapered.study.script.places import slots_of
from tapered.study.script.sharing import Donor, donors, nearest, wanted
from tapered.study.script.telling import records
from tapered.study.summary import summary


def checked(found, folder):
    with open_store(found, folder) as store:
        return check(found, found.subject, store, slots_of(found.study, found.study.script), lambda _: None)


ONE = {"seeds": 1, "peaks": "{ low = 0.05, high = 0.05, count = 1 }"}


def faulty(fault, name="constant"):
    return CONSTANT.replace("lr =", f'args = "--fault {fault}"\nlr =', 1).replace('"constant"', f'"{name}"', 1)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The study, and its runs and result where each began with its first step."""
    folder, began = tmp_path_factory.mktemp("alone"), time.time()
    found = planned(folder)
    runs, result = finished(found, folder / "s")
    assert all(began <= run.began < run.ended <= time.time() for run in runs)
    return found, runs, result


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same study in a folder where it has been checked, and its store."""
    folder = tmp_path_factory.mktemp("shared")
    found = planned(folder)
    return found, checked(found, folder / "s"), folder / "s"


def test_a_study_of_a_script_gives_what_the_loop_gives_by_hand(alone):
    found, runs, result = alone
    assert [run.curve for run in runs] == [by_hand(found, run) for run in runs]
    assert [run.value for run in runs] == [by_hand(found, run)[-1][1]["loss"] for run in runs]
    assert (len(runs), result.cost.asked, result.cost.to_run) == (8, 160, 160)
    assert "--check" in result.cost.reason
    assert "late" in result.sentence
    assert any('rate = "off"' in caveat for caveat in result.caveats)


def test_runs_share_steps_once_a_check_found_the_resume_exact(alone, shared):
    found, report_, folder = shared
    assert (report_.exact, report_.good, report_.noise) == (True, True, 0)
    with open_store(found, folder) as store:
        runs = train_runs(found, store)
        result = conclude(found, store, runs)
        again = verify(found, store, runs)
        started = records(store)
    assert runs == alone[1]
    assert (result.cost.asked, result.cost.to_run, result.cost.reason) == (160, 120, None)
    assert (result.script.forked, result.script.shared) == (4, 40)
    assert sorted(record.start for record in started.values()) == [0] * 4 + [10] * 4
    assert (again.same, again.start, again.run.arm) == (True, 10, "late")
    parents = [json.loads(path.read_text())["parent"] for path in (folder / "runs").glob("*/run.json")]
    assert sorted(parent["step"] for parent in parents if parent) == [10] * 4
    page = report.render(result, "tapered study own.toml")
    assert "4 runs began with another&#39;s checkpoint and took over 40 updates." in page
    assert summary(result)["script"]["shared"] == 40


def test_donors_lead_their_segment_and_arms_with_words_of_their_own_share_nothing(tmp_path):
    early = LATE.replace('"late"', '"early"').replace("0.5*steps", "0.25*steps", 1).replace("0.5*steps", "0.75*steps")
    own = LATE.replace('"late"', '"own"').replace("lr =", 'args = "--fault none"\nlr =')
    same = LATE.replace('"late"', '"twin"')
    found = planned(tmp_path, arms=CONSTANT + LATE + early + own + same, seeds=1)
    forest = forest_of(found)
    names = {task.run.key: (task.run.arm, task.run.peak) for task in forest.tasks}
    shared = {names[key]: (names[donor.key], donor.step) for key, donor in donors(forest).items()}
    for peak in (0.05, 0.1):
        assert shared.pop(("late", peak)) == (("constant", peak), 11)
        assert shared.pop(("early", peak)) == (("constant", peak), 6)
        assert shared.pop(("twin", peak)) == (("late", peak), 20)
    assert shared == {}
    assert wanted({"a": Donor("x", 10), "b": Donor("x", 5)}) == {"x": (5, 10)}


def test_arms_that_are_one_by_all_that_is_asked_are_started_once(tmp_path):
    found = planned(tmp_path, arms=CONSTANT + CONSTANT.replace('"constant"', '"twin"', 1), **ONE)
    checked(found, tmp_path / "s")
    runs, result = finished(found, tmp_path / "s")
    assert [run.curve for run in runs] == [by_hand(found, run) for run in runs]
    assert (result.cost.to_run, result.comparisons[0].gains) == (20, (0.0,))
    assert len(list((tmp_path / "s" / "runs").glob("*/1.out"))) == 1


@pytest.mark.parametrize("fault", ["inexact", "deaf"])
def test_no_steps_are_shared_of_a_script_that_does_not_go_on_exactly(tmp_path, fault):
    found = planned(tmp_path, table=TABLE.replace(COMMAND, f"{COMMAND} --fault {fault}"), **ONE)
    report_ = checked(found, tmp_path / "s")
    assert not report_.exact
    said = next(finding for finding in report_.findings if finding.name == "share")
    assert said.good is False
    assert said.fix
    assert ("differ" if fault == "inexact" else "anew") in said.text
    runs, result = finished(found, tmp_path / "s")
    assert [run.curve for run in runs] == [by_hand(found, run) for run in runs]
    assert result.cost.to_run == result.cost.asked == 40


def test_a_script_that_goes_on_exactly_from_ends_of_epochs_alone_shares_there(tmp_path):
    found = planned(tmp_path, table=TABLE.replace(COMMAND, f"{COMMAND} --fault epochs"), **ONE)
    report_ = checked(found, tmp_path / "s")
    assert (report_.every, report_.exact, report_.good) == (5, True, True)
    said = next(finding for finding in report_.findings if finding.name == "share").text
    assert said.startswith("From the checkpoint of step 5, which it writes by itself, it gives the same numbers: steps")
    assert re.search(r"alone, every 5 updates\. .*: from the checkpoint of step 7 its numbers differ by up to", said)
    planned_ = script_forecast(found, tmp_path / "s").to_run
    with open_store(found, tmp_path / "s") as store:
        runs = train_runs(found, store)
        result, again = conclude(found, store, runs), verify(found, store, runs)
    assert [run.curve for run in runs] == [by_hand(found, run) for run in runs]
    assert planned_ == result.cost.to_run == 30
    assert (again.same, again.start, again.difference) == (True, 10, 0.0)
    assert not list((tmp_path / "s" / "runs").glob("*/out/c-11.json"))


def test_a_script_with_one_file_of_its_own_is_ended_where_runs_part(tmp_path):
    table = TABLE.replace("--max-steps {steps}", "--max-steps {steps} --until {until} --fault single")
    early = LATE.replace('"late"', '"early"').replace("0.5*steps", "0.25*steps", 1).replace("0.5*steps", "0.75*steps")
    found = planned(tmp_path, table=table.replace("c-{step}.json", "last.json"), arms=CONSTANT + LATE + early, **ONE)
    report_ = checked(found, tmp_path / "s")
    assert [finding.text for finding in report_.findings if finding.name == "share"] == [
        "From the checkpoint of step 7 it gives the same numbers: steps are shared."
    ]
    runs, result = finished(found, tmp_path / "s")
    assert all(dict(by_hand(found, run)).items() <= dict(run.curve).items() for run in runs)
    assert (result.cost.asked, result.cost.to_run) == (60, 60 - (11 + 6))
    assert (result.script.forked, result.script.shared) == (2, 17)
    assert result.script.twice is None


def test_without_steps_in_names_and_an_end_to_ask_for_nothing_is_shared(tmp_path):
    found = planned(tmp_path, table=TABLE.replace("c-{step}.json", "last.json"), **ONE)
    said = next(finding for finding in checked(found, tmp_path / "s").findings if finding.name == "share")
    assert (said.good, "{until}" in said.fix) == (None, True)
    _, result = finished(found, tmp_path / "s")
    assert "no {step} in their names" in result.cost.reason


def test_a_check_of_another_study_in_the_same_folder_counts_for_nothing(tmp_path, shared):
    found, _, folder = shared
    assert spacing(found, folder) == 1
    assert spacing(planned(tmp_path), folder) == 1  # the same study, wherever it lies
    (tmp_path / "train.py").write_text(SCRIPT + "# changed\n")
    assert spacing(read(tmp_path, stated()), folder) == 0


def test_a_check_of_a_script_that_draws_without_a_seed_says_how_far_it_is_apart(tmp_path):
    found = planned(tmp_path, table=TABLE.replace(COMMAND, f"{COMMAND} --fault noisy"))
    report_ = checked(found, tmp_path / "s")
    same = next(finding for finding in report_.findings if finding.name == "same")
    assert (same.good, report_.exact, report_.good) == (False, True, True)  # what it saved it restores
    assert f"{report_.noise:.3g}: the script's own noise" in same.text
    assert f"beside the script's own noise of {report_.noise:.2g}" in report_.sentence


def test_a_check_ends_where_a_run_does_not_come_to_its_end(tmp_path):
    found = planned(tmp_path, table=TABLE.replace(COMMAND, f"{COMMAND} --fault crash:3,1"))
    report_ = checked(found, tmp_path / "s")
    assert [finding.name for finding in report_.findings] == ["end", "metrics", "rate", "same", "end"]
    assert not report_.good
    assert "somebody's own mistake" in report_.findings[-1].text


def test_a_check_of_another_way_to_go_on_counts_for_nothing(tmp_path, shared):
    other = planned(tmp_path, table=TABLE.replace('"same-out"', '"--resume {checkpoint}"'))
    assert other.identity == shared[0].identity
    assert spacing(other, shared[2]) == 0
    found = planned(tmp_path, table=TABLE.replace('"same-out"', '"--resume {checkpoint}"'), **ONE)
    assert checked(found, tmp_path / "t").exact
    _, result = finished(found, tmp_path / "t")
    assert (result.cost.asked, result.cost.to_run) == (40, 30)


def test_a_checkpoint_that_was_written_to_later_is_not_taken_over(tmp_path):
    found = planned(tmp_path, **ONE)
    runs, _ = finished(found, tmp_path / "s")
    folder = tmp_path / "s" / "runs" / runs[0].key
    pattern = "{out}/c-{step}.json"
    assert [nearest(pattern, folder, step).step for step in (20, 14, 9)] == [20, 10, 5]
    assert [nearest(pattern, folder, step, every=10).step for step in (20, 19)] == [20, 10]
    assert nearest(pattern, folder, 4) is nearest(pattern, folder, 9, every=10) is None
    later = time.time() + 100
    os.utime(folder / "out" / "c-10.json", (later, later))
    assert nearest(pattern, folder, 14).step == 5


def test_a_seed_that_has_no_effect_is_refused(tmp_path):
    with pytest.raises(RefusedRunError, match=r"REFUSED: arm 'constant', peak 0.05, seed \d told the same .* seed \d"):
        trained(tmp_path, arms=faulty("seedless"))


def test_a_seed_that_has_no_effect_is_known_before_the_end(tmp_path):
    def told(seed, values):
        folder = tmp_path / str(seed)
        folder.mkdir(exist_ok=True)
        Asked("constant", seed, 100, 100, rate="off").write(folder, [0.1] * 100)
        lines = [json.dumps({"step": step, "loss": value, "seconds": seed}) for step, value in enumerate(values, 1)]
        (folder / "reports.jsonl").write_text("\n".join(lines) + "\n")
        return folder

    judge = Judge("jsonl", None, "loss", told(0, range(9)))
    assert [judge.counts(name) for name in ("loss", "eval_loss", "train_loss", "lr")] == [True, True, False, False]
    assert replace(judge, metric="train_loss").counts("train_loss")
    assert "told the same numbers as seed 0 at 8 steps" in judge(told(1, range(8))).wrong
    assert judge(told(1, range(7))).wrong == ""  # so few could be the same by chance
    assert judge(told(1, [*range(8), 7])).wrong == ""
    assert replace(judge, beside=told(0, [1] * 9))(told(1, [1] * 9)).wrong == ""  # says nothing
    assert replace(judge, beside=tmp_path / "none")(told(1, range(9))).wrong == ""


def test_words_in_which_arms_differ_are_said_with_the_verdict(tmp_path):
    runs, result = trained(tmp_path, arms=CONSTANT + LATE + 'args = "--fault none"\n', **ONE)
    assert runs[-1].arm == "late"
    assert result.comparisons[0].differs == ('args "--fault none", not none',)
    assert result.arms[1].args == "--fault none"


def test_numbers_that_say_nothing_of_training_decide_nothing(tmp_path):
    arms = CONSTANT.replace("lr =", 'args = "--fault clock"\nlr =')
    runs, _ = trained(tmp_path / "one", arms=arms, seeds=1)
    assert [(run.diverged, sorted(run.curve[0][1])) for run in runs] == [(None, ["loss"])] * 2
    assert checked(planned(tmp_path / "two", arms=arms), tmp_path / "two" / "s").noise == 0
    with pytest.raises(RefusedRunError, match=r"told the same numbers as seed"):
        trained(tmp_path / "three", arms=arms)


def test_a_run_that_ends_early_is_refused_and_kept_aside(tmp_path):
    with pytest.raises(RefusedRunError, match=r"arm 'constant', peak 0.05, seed \d .*15 of 20") as error:
        trained(tmp_path, arms=faulty("early"))
    aside = next((tmp_path / "s" / "runs").glob("*.refused"))
    assert str(aside) in str(error.value)
    assert (aside / "out" / "log.jsonl").exists()


def test_a_metric_that_is_never_told_is_refused_by_what_is(tmp_path):
    with pytest.raises(RefusedRunError, match=r"told no 'accuracy', the study's metric; it told loss"):
        trained(tmp_path, more='metric = "accuracy"')


def test_others_go_on_where_a_run_crashes_and_the_same_study_tries_it_again(tmp_path):
    arms = faulty("crash:12,1")
    with pytest.raises(FailedRunsError, match=r"2 runs of 4 failed; .*\n.*seed 1 crashed at step 10") as error:
        trained(tmp_path, arms=arms)
    assert "    RuntimeError: somebody's own mistake" in str(error.value).splitlines()
    found = planned(tmp_path, arms=arms)
    with open_store(found, tmp_path / "s") as store:
        assert sorted(run.seed for run in store.runs()) == [0, 0]
        kept = {run.key for run in store.runs()}
    place, judge = tmp_path / "s" / "runs", Asking(found, found.subject).judge
    others = [task.run for task in forest_of(found).tasks if task.run.seed == 1]
    told = {run.key: run.curve for run in begun(place, kept, "loss", judge)}
    assert told == {run.key: by_hand(found, run)[:2] for run in others}
    assert {(run.key, run.arm, run.peak, run.seed) for run in begun(place, kept, "loss")} == {
        (run.key, run.arm, run.peak, run.seed) for run in others
    }
    asked = (place / others[0].key / "run.json").read_text()
    (place / others[0].key / "run.json").write_text(asked[:-9])
    assert [run.key for run in begun(place, kept, "loss", judge)] == [others[1].key]
    (place / others[0].key / "run.json").write_text(asked)
    # as if what made it crash had gone
    for path in (tmp_path / "s" / "runs").glob("*/run.json"):
        assert path.exists()
    (tmp_path / "train.py").write_text(SCRIPT)
    with pytest.raises(FailedRunsError, match=r"2 runs of 4 failed"):
        finished(found, tmp_path / "s")
    assert len(list((tmp_path / "s" / "runs").glob("*/2.out"))) == 2


def test_a_number_that_is_not_finite_is_a_result(tmp_path):
    runs, result = trained(tmp_path, arms=faulty("nan:12,1"))
    assert [run.diverged for run in runs] == [None, 15, None, 15]
    assert all(len(run.curve) == 3 for run in runs if run.diverged)
    assert "2 runs diverged, ranked last and counted." in result.caveats


def test_noise_of_the_scripts_own_is_said(tmp_path):
    arms = "".join(faulty("noisy", name) for name in ("constant", "other"))
    (one, other), result = trained(tmp_path, arms=arms, **ONE)
    apart = [abs(mine["loss"] - its["loss"]) for (_, mine), (_, its) in zip(one.curve, other.curve, strict=True)]
    assert result.script.noise == max(apart)
    assert any(f"{max(apart):.2g}: the script's own noise" in caveat for caveat in result.caveats)


def test_a_stopped_study_goes_on_from_the_scripts_checkpoints(tmp_path):
    found = planned(tmp_path, arms=faulty("wait:12"), seeds=1)
    with open_store(found, tmp_path / "s") as store:
        waiting = tmp_path / "s" / "runs"
        runs = train_runs(found, store, stop=lambda: any(waiting.glob("*/out/once")))
    assert runs == []
    for folder in waiting.glob("*/out"):
        (folder / "once").touch()
    runs, result = finished(found, tmp_path / "s")
    assert [run.curve for run in runs] == [by_hand(found, run) for run in runs]
    assert (result.script.twice or 0) == 0


RUNGS = {
    "table": TABLE.replace("--max-steps {steps}", "--max-steps {steps} --until {until}"),
    "peaks": "{ low = 0.01, high = 1.0, count = 3 }",
    "seeds": 1,
}
PRUNE = "executor = { workers = 2 }\nprune = { rungs = [0.5], keep = 0.4 }"


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A study whose peaks are pruned, and its runs and result where each began with its first step."""
    folder = tmp_path_factory.mktemp("pruned")
    found = planned(folder, **RUNGS, more=PRUNE)
    return found, *finished(found, folder / "s")


def test_peaks_are_pruned_at_rungs_where_the_script_ends_and_goes_on(pruned):
    found, runs, result = pruned
    assert sum(run.pruned == 10 for run in runs) == 2
    assert all(run.curve == by_hand(found, run)[: 2 if run.pruned else None] for run in runs)
    assert result.cost.pruning.saved == 20
    assert result.cost.to_run == result.cost.asked == 6 * 20


def test_rungs_are_shared_too(tmp_path, pruned):
    found, alone, _ = pruned
    checked(found, tmp_path / "s")
    runs, result = finished(found, tmp_path / "s")
    assert [(run.curve, run.pruned) for run in runs] == [(run.curve, run.pruned) for run in alone]
    assert result.cost.asked - result.cost.to_run == 3 * 10
    assert result.script.updates == 3 * 10 + 4 * 10  # the grid once to the rung, and what is left of it


def test_several_at_a_time_give_the_same(tmp_path, alone):
    several, _ = trained(tmp_path, more="executor = { workers = 4 }")
    assert several == alone[1]


def test_a_changed_script_is_refused_in_the_folder(tmp_path):
    trained(tmp_path, **ONE)
    (tmp_path / "train.py").write_text(SCRIPT + "# changed\n")
    with pytest.raises(StoreError, match=r"code\.train\.py"):
        finished(read(tmp_path, stated(**ONE)), tmp_path / "s")


def test_what_a_kill_left_between_a_runs_end_and_the_studys_knowing_is_read(tmp_path):
    found = planned(tmp_path, **ONE)
    runs, _ = finished(found, tmp_path / "s")
    for path in (tmp_path / "s" / "runs").glob("*.json"):
        if path.is_file():
            path.unlink()
    again, _ = finished(found, tmp_path / "s")
    assert again == runs
    assert not list((tmp_path / "s" / "runs").glob("*/2.out"))


def test_the_kind_of_processor_that_is_kept_is_that_of_who_ran_the_script(tmp_path, monkeypatch):
    there = kind.text({**kind.here(), "vectors": "of another"})

    class Elsewhere(Slots):
        def run(self, starts, *more):
            for one, ended in super().run(starts, *more):
                assert one.kind == kind.text(kind.here())
                (one.folder / "kinds").write_text(f"{there}\n")
                yield one, ended

    monkeypatch.setattr("tapered.study.script.trainer.slots_of", lambda *_: Elsewhere(1))
    twin = CONSTANT.replace('"constant"', '"twin"', 1)
    found = planned(tmp_path, arms=CONSTANT + twin, **ONE)
    with open_store(found, tmp_path / "s") as store:
        train_runs(found, store)
        assert store.kinds == [there]
    with pytest.raises(StoreError, match="holds runs that another kind of processor trained: vectors of another then"):
        finished(found, tmp_path / "s")
    assert len(finished(planned(tmp_path, arms=CONSTANT + twin, **ONE, more='kinds = "any"'), tmp_path / "s")[0]) == 2


def test_a_search_asks_for_trials_of_a_script_as_well(tmp_path):
    space = "space = { share = { low = 0.1, high = 0.9 } }\n"
    arms = CONSTANT + LATE.replace("0.5*steps", "{1-share}*steps", 1).replace("0.5*steps", "{share}*steps") + space
    given = {"arms": arms, "seeds": 1, "more": 'tune = { trials = 3, batch = 2, sampler = "random" }'}
    assert checked(planned(tmp_path, **given), tmp_path / "s").good
    assert script_forecast(planned(tmp_path, **given), tmp_path / "s").runs == 4
    runs, result = trained(tmp_path, **given)
    assert len(runs) == 6
    assert 0.1 <= result.arms[1].searched["share"] <= 0.9
    assert all(run.curve[-1][0] == STEPS for run in runs)


def test_a_link_in_the_place_of_a_runs_folder_is_refused(tmp_path):
    found = planned(tmp_path, seeds=1)
    (tmp_path / "elsewhere").mkdir()
    with open_store(found, tmp_path / "s") as store:
        (tmp_path / "s" / "runs" / forest_of(found).tasks[0].run.key).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match="is a link"):
            train_runs(found, store)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_grids_are_extended_and_seeds_are_fresh_as_of_a_workload(tmp_path):
    runs, result = trained(
        tmp_path,
        seeds=2,
        more="executor = { workers = 2 }\nextend = 1\nfresh = 1",
        peaks="{ low = 0.001, high = 0.01, count = 2 }",
    )
    assert {run.peak for run in result.runs} == {0.001, 0.01, 0.1}
    assert {run.seed for run in result.fresh} == {2}
    assert len(runs) == 2 * 3 * 2 + 2
