"""Rules that follow a loss as arms: a plain torch loop's rates and losses, told, shared, stopped, verified, shown."""

import json
from dataclasses import replace

import pytest
import torch
from study_cases import LOOP, ROWS, arm_text, finished, read, stopped_again_and_again, trained_as
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tapered import report
from tapered.cli.main import main
from tapered.study import open_store, verify
from tapered.study.file.following import Observed
from tapered.study.plan.forecast import forecast
from tapered.study.plan.rounds import rounds
from tapered.study.result import followed
from tapered.study.store.runs import Run
from tapered.study.summary import follow_line, summary
from tapered.study.summary.kept import Kept, Shown, keep
from tapered.study.train import relay, task
from tapered.study.train.grow import Grower
from tapered.study.train.task import Work
from tapered.study.train.verify import Verified
from tapered.training.workload import quadratic
from tapered.workloads.own import StudyFileError

STEPS = 60
STACKED = pytest.mark.parametrize("done", [ROWS], ids=["rows"], indirect=True)
HEAD = f"""
name = "follows"
workload = "quadratic"
steps = {STEPS}
seeds = 2
evaluations = 12
fresh = 0
extend = 0
baseline = "constant"
peaks = {{ low = 0.02, high = 0.2, count = 2 }}
"""
HASTY, PATIENT = ("factor=0.5, threshold=0.05, patience=0", "factor=0.5, threshold=0.05, patience=1")
TRAINED = 'observes = { metric = "train/loss", every = 7 }'
ARMS = (
    arm_text("constant", rule="Adam")
    + arm_text("hasty", f"plateau({HASTY})", "Adam")
    + arm_text("patient", f"plateau({PATIENT})", "Adam")
    + arm_text("warmed", f"warmup(0.2*steps).then(plateau({HASTY}))", "Adam")
    + arm_text("trained", f"plateau({HASTY})", "Adam", TRAINED)
)


def given(text):
    return {name: float(value) for name, value in (part.split("=") for part in text.split(", "))}


# arm -> torch's scheduler, warmup, every
THEIRS = {
    "hasty": (given(HASTY), 0, None),
    "patient": (given(PATIENT), 0, None),
    "warmed": (given(HASTY), 12, None),
    "trained": (given(HASTY), 0, 7),
}


@pytest.fixture(scope="module", params=[LOOP, ROWS], ids=["loop", "rows"])
def done(request, tmp_path_factory):
    """A study of four rules beside a constant rate, its updates, and whether a sample came out again."""
    folder, made = tmp_path_factory.mktemp("follows"), []
    with pytest.MonkeyPatch.context() as patch:
        trained_as(patch, request.param)
        found = read(folder, HEAD + ARMS)
        runs, result = finished(found, folder / "s", progress=made.append)
    return found, runs, result, sum(made), folder / "s", request.param


def plain(problem, seed, peak, arguments, warmup, every):
    """The arm as a torch user writes it: each update's rate and training loss, each evaluation's loss."""
    model = problem.build(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=peak)
    scheduler = ReduceLROnPlateau(optimizer, **arguments)
    rates, losses, curve = [], [], []
    inputs, targets = problem.valid.tensors
    for step in range(STEPS):
        batch = problem.fetch("train", problem.batch(seed, step))
        if step <= warmup and warmup:
            optimizer.param_groups[0]["lr"] = peak * step / warmup
        optimizer.zero_grad()
        loss = problem.loss(model(batch[0]), batch[1])
        loss.backward()
        rates.append(optimizer.param_groups[0]["lr"])
        losses.append(loss.item())
        optimizer.step()
        if (step + 1) % 5 == 0:
            with torch.no_grad():
                curve.append(problem.loss(model(inputs), targets).item())
        told = losses[-1] if every else curve[-1] if curve else None
        if (step + 1) % (every or 5) == 0 and step + 1 > warmup:
            scheduler.step(told)
    return rates, losses, curve


def rates_of(found, run):
    follows = next(arm for arm in found.study.arms if arm.name == run.arm).following(STEPS, run.peak)
    return follows.schedule(follows.decisions(run)).table(STEPS).tolist()


def test_rates_and_losses_are_those_of_a_plain_loop(done):
    found, runs, _, _, _, mode = done
    problem, moved, within = quadratic(), set(), 1e-6 if mode is LOOP else 1e-5  # of float32
    for run in (run for run in runs if run.arm in THEIRS):
        rates, losses, curve = plain(problem, run.seed, run.peak, *THEIRS[run.arm])
        assert rates_of(found, run) == pytest.approx(rates, rel=1e-12)
        assert [loss for _, loss in run.losses] == pytest.approx(losses, rel=within)
        assert [point["loss"] for _, point in run.curve[1:]] == pytest.approx(curve, rel=within)
        moved |= {(run.arm, rate) for rate in rates}
    assert all(len({rate for arm, rate in moved if arm == name}) > 4 for name in THEIRS)


def test_runs_share_until_decisions_part_and_no_longer(done):
    found, runs, result, made, *_ = done
    told = {"constant": lambda run: [run.peak] * STEPS}
    groups = {}
    for run in runs:
        groups.setdefault(run.seed, []).append(told.get(run.arm, lambda run: rates_of(found, run))(run))
    assert made == sum(len({tuple(r[:k]) for r in each}) for each in groups.values() for k in range(1, STEPS + 1))
    assert (result.cost.to_run, result.cost.asked) == (made, 5 * 2 * 2 * STEPS)
    assert made < 4.7 * 2 * 2 * STEPS


def test_a_study_stopped_at_any_moment_goes_on_to_the_same_decisions(done, tmp_path, monkeypatch):
    found, runs, _, made, _, mode = done
    trained_as(monkeypatch, mode)
    again, total, times = stopped_again_and_again(found, tmp_path / "s", 211)
    assert (again, total) == (runs, made)
    assert times == -(-made // 211)


@STACKED
def test_a_sample_trained_again_comes_out_the_same_and_what_was_told_is_compared(done):
    found, runs, _, _, folder, _ = done
    with open_store(found, folder) as store:
        assert verify(found, store, runs, sample=20) == Verified(20, 20, 0.0, 0.0, 0.0, 1e-3)
        for name, field in (("patient", "curve"), ("trained", "told")):
            one = next(run for run in runs if run.arm == name)
            changed = [replace(run, **{field: otherwise(getattr(run, field))}) if run == one else run for run in runs]
            assert verify(found, store, [run for run in changed if run.arm == name]).evaluations > 0


def otherwise(told):
    """What was told third, a millionth larger."""
    step, value = told[2]
    more = {**value, "loss": value["loss"] * 1.000001} if isinstance(value, dict) else value * 1.000001
    return (*told[:2], (step, more), *told[3:])


@STACKED
def test_a_worker_goes_on_from_what_it_was_sent(done, tmp_path):
    """A bundle stopped half way, its task as a worker reads it, and the rest trained there."""
    found, runs, _, _, _, mode = done
    forest, sent, expected = next(rounds(found, dict)).forest, [], {run.key: run for run in runs}
    rule = forest.rules[0]
    with open_store(found, tmp_path / "half") as store:
        grower = Grower(forest, store, mode, lambda _: None, lambda: False, until=30)
        grower.grow(forest.bundles(rule, 64)[0])
        (bundle,) = store.bundles()
        message = task.task_of(
            1, Work(found, forest, rule, mode, (bundle,), STEPS), store.kept(bundle), store.state(bundle)
        )
    read_there = task.read_task(found, json.loads(json.dumps(message.fields)))
    there = relay.Relay(read_there.kept, message.pieces[0], None, sent.append)
    Grower(read_there.forest, there, mode, lambda _: None, lambda: False, STEPS).grow(read_there.kept.bundle)
    ((name, last),) = sent[-1].fields["parts"]
    ended = task.bundle_from_text(last, name).bundle
    found_there = [run for branch in ended.branches for run in branch.results("loss")]
    assert len(found_there) == len({run.key for run in found_there}) > 4
    assert all(run == expected[run.key] for run in found_there)


@STACKED
def test_what_was_decided_is_shown_and_how_it_is_judged_is_said(done):
    found, runs, result, _, _, _ = done
    said = summary(result)
    json.dumps(said, allow_nan=False)
    arms = {arm["name"]: arm for arm in said["arms"]}
    assert arms["trained"]["observes"]["text"] == "the training loss of every 7th update"
    assert (arms["constant"]["observes"], arms["patient"]["rate_path"]) == (None, None)
    decided = {
        (run["arm"], run["peak"], run["seed"]): run["decisions"] for run in said["every_run"] if "decisions" in run
    }
    assert len(decided) == 4 * 2 * 2
    for run in (run for run in runs if run.arm in THEIRS):
        rates, told = rates_of(found, run), dict(run.told) if run.arm == "trained" else None
        values = told or {step: point["loss"] for step, point in run.curve}
        steps = [k for k in range(13 if run.arm == "warmed" else 1, STEPS) if rates[k] != rates[k - 1]]
        assert decided[run.arm, run.peak, run.seed] == [
            {"step": k, "value": values[k], "before": rates[k - 1], "after": rates[k]} for k in steps
        ]
        if run.peak == arms[run.arm]["best_peak"]:
            (drawn,) = (each for each in arms[run.arm]["rate_paths"] if run.seed in each["seeds"])
            assert [rate for _, rate in drawn["rates"]] == rates
    (caveat,) = (line for line in result.caveats if "judged on the same examples" in line)
    assert caveat.startswith("hasty, patient, warmed follow the validation loss at each evaluation")
    assert any(note.startswith("trained follows the training loss of every 7th") for note in Shown.of(result).notes)
    page = report.render(result, "again")
    assert "What was decided" in page
    assert "Of hasty, patient, warmed, trained, whose rate followed" in page


def test_a_plan_says_the_least_and_the_most(tmp_path):
    found = forecast(read(tmp_path, HEAD + 'mode = "loop"\n' + ARMS))
    # of a peak and a seed: all but the warmed one share 5 steps; trained and constant 2 more, then each is alone
    most = 5 + 2 * 55 + 2 + 2 * 53 + STEPS
    # the warmed ones of both peaks share their first step, at a rate of 0
    assert (found.cost.to_run, found.least) == (4 * most - 2, 4 * 2 * STEPS - 2)
    assert follow_line(found).endswith("478 to 1,130 steps to run, and memory and time are of the most.")
    assert follow_line(forecast(read(tmp_path, HEAD + 'mode = "loop"\n' + arm_text("constant")))) is None


PLAIN = HEAD + arm_text("constant")
RULE = arm_text("p", "plateau(patience=1)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAIN + arm_text("p", more='observes = "loss"'), "observes is of a rate that follows its run"),
        (PLAIN + arm_text("p", "plateau()", more='observes = "accuracy"'), "no number of an evaluation; expected"),
        (PLAIN + arm_text("p", "plateau()", more='observes = "train/loss"'), '{ metric = "train/loss", every = 50 }'),
        (PLAIN + arm_text("p", "plateau()", more='observes = { metric = "loss", every = 5 }'), 'observes = "loss"'),
        (PLAIN + arm_text("p", "plateau()", more='observes = { metric = "train/loss", every = 60 }'), "told nothing"),
        (PLAIN + arm_text("p", "plateau(mode='max')"), "the loss, of which lower is better here, by plateau("),
        (PLAIN + arm_text("p", "greedy(mode='max')"), 'try greedy(..., mode="min")'),
        (PLAIN + arm_text("p", "warmup(60).then(plateau())"), "told nothing within its 60 steps"),
        (PLAIN + arm_text("p", "plateau().in_state(bad=1)"), "has a state, bad=1, and runs begin without"),
        (PLAIN + arm_text("p", "plateau(min_lr=[0.1, 0.2])"), "one number, or one for each of 1 groups"),
        (PLAIN + arm_text("p", "plateau() * cosine_decay(decay_steps=9)"), "multiply it by a number"),
        (PLAIN + arm_text("p", "plateau(patience=2).then(hold(3))"), "nothing is done to a rule but"),
        (PLAIN + arm_text("p", more='hypers = { momentum = "plateau(0.9)" }', rule="SGD"), "hypers"),
        (HEAD + "prune = { rungs = [0.5], probe = 0.25 }\n" + arm_text("constant") + RULE, "leave probe out"),
    ],
)
def test_what_cannot_follow_is_refused_before_anything_is_trained(tmp_path, text, said):
    with pytest.raises(StudyFileError) as error:
        read(tmp_path, text)
    assert said in str(error.value)


def test_a_rule_takes_for_better_what_the_study_does(tmp_path):
    text = PLAIN.replace('workload = "quadratic"', 'workload = "bmi"\nmetric = "accuracy"\ndirection = "maximize"')
    more = 'observes = "accuracy"'
    with pytest.raises(
        StudyFileError, match=r"the accuracy, of which higher is better here.*try plateau\(..., mode=\"max"
    ):
        read(tmp_path, text + arm_text("p", "plateau()", more=more))
    read(tmp_path, text + arm_text("p", "plateau(mode='max')", more=more))
    read(tmp_path, text + arm_text("p", "plateau()", more='observes = "loss"'))
    with pytest.raises(StudyFileError, match="the loss, of which lower is better here"):
        read(tmp_path, text + arm_text("p", "plateau(mode='max')", more='observes = "loss"'))


def test_what_each_rule_saw_is_said_of_it_alone(done, monkeypatch):
    _, _, result, _, _, _ = done
    first, second = followed.followed(result.asked, result.arms)[:2]
    other = replace(second.following, observed=Observed(metric="accuracy"))
    monkeypatch.setattr(followed, "followed", lambda *_: [first, replace(second, runs=(), following=other)])
    notes = [note for note in followed.seen(result.asked, result.arms) if "judged on the same" in note]
    assert [note.partition(", and")[0] for note in notes] == [
        f"{first.name} follows the validation loss at each evaluation",
        f"{second.name} follows the validation accuracy at each evaluation",
    ]


def test_a_script_is_told_its_rates_beforehand_so_that_a_rule_is_refused(tmp_path):
    (tmp_path / "train.py").touch()
    head = HEAD.replace('workload = "quadratic"\n', "").replace("evaluations = 12\n", "")
    script = '[script]\ncommand = "python train.py --lr {peak} --seed {seed}"\nrate = "set"\n'
    arms = arm_text("constant") + RULE
    with pytest.raises(StudyFileError, match=r"arm 'p' follows its loss by .* told all its rates before it begins"):
        read(tmp_path, head + (script + arms).replace('rule = "SGD"\n', ""))


SPLIT = """
from dataclasses import replace
from torch.utils.data import TensorDataset
from tapered.training.workload import quadratic

def problem():
    made = quadratic()
    return replace(made, splits={"held": TensorDataset(*(part[:64] for part in made.train.tensors))})
"""


def test_where_there_is_another_split_one_of_them_is_named(tmp_path):
    (tmp_path / "mine.py").write_text(SPLIT)
    text = PLAIN.replace('"quadratic"', '"mine.py:problem"').replace("seeds = 2", "seeds = 1")
    with pytest.raises(StudyFileError, match=r'try observes = "held/loss", or observes = "loss" where that is meant'):
        read(tmp_path, text + RULE)
    (tmp_path / "s").mkdir()
    arm = arm_text("p", f"plateau({HASTY})", more='observes = "held/loss"')
    runs, result = finished(read(tmp_path, text + arm), tmp_path / "s" / "held")
    assert not any("judged on" in line for line in result.caveats)
    run = next(run for run in runs if run.arm == "p" and run.peak == 0.2)
    rule = next(arm for arm in result.asked.study.arms if arm.name == "p").following(STEPS, run.peak)
    held = [(step, point["held/loss"]) for step, point in run.curve if 0 < step < STEPS]
    assert rule.told(run) == held
    assert len(rule.decisions(run)) > 2


def test_a_rule_that_decides_nothing_is_said_and_shares_all_with_a_constant_rate(tmp_path):
    made = []
    text = PLAIN.replace("seeds = 2", "seeds = 1") + arm_text("p", "plateau")
    runs, result = finished(read(tmp_path, text), tmp_path / "s", progress=made.append)
    (line,) = (line for line in result.caveats if "decided nothing" in line)
    assert line.startswith("p decided nothing at its best peak: plateau(0.")
    assert "was told 11 values a run" in line
    assert sum(made) == 2 * STEPS
    assert len({(run.peak, run.value) for run in runs}) == 2


def test_peaks_are_pruned_and_numbers_of_a_rule_are_searched(tmp_path):
    pruned = HEAD.replace("count = 2", "count = 4") + "prune = { rungs = [0.5] }\n" + arm_text("constant")
    runs, result = finished(read(tmp_path, pruned + arm_text("p", f"plateau({HASTY})")), tmp_path / "s")
    assert {(run.arm, run.step) for run in runs if run.pruned} == {("constant", 30), ("p", 30)}
    assert result.cost.pruning.saved < result.cost.pruning.of
    space = "factor = { low = 0.2, high = 0.9 }, patience = { low = 0, high = 3, whole = true, log = false }"
    searched = arm_text("p", "plateau(factor={factor}, patience={patience})", more=f"space = {{ {space} }}")
    tuned = HEAD.replace("seeds = 2", "seeds = 1") + "tune = { trials = 3, batch = 3 }\n" + arm_text("constant")
    (tmp_path / "tuned").mkdir()
    runs, result = finished(read(tmp_path / "tuned", tuned + searched), tmp_path / "tuned" / "s")
    assert len({run.peak for run in runs if run.arm == "p"}) == 3
    assert set(result.arms[1].searched) == {"factor", "patience"}


def test_a_hyper_follows_the_rate_that_a_rule_set(tmp_path):
    more = 'options = { decay = "decoupled" }\nhypers = { weight_decay = "0.5 * shape" }'
    text = HEAD.replace("seeds = 2", "seeds = 1") + arm_text("constant", rule="Adam", more=more)
    found = read(tmp_path, text + arm_text("p", f"plateau({HASTY})", "Adam", more))
    runs, _ = finished(found, tmp_path / "s")
    run = runs[-1]
    arm = found.study.arms[1]
    follows = arm.following(STEPS, run.peak)
    hypers = arm.path(STEPS, run.peak, lr=follows.schedule(follows.decisions(run))).hypers
    assert hypers["weight_decay"] == pytest.approx(0.5 * hypers["lr"] / run.peak)
    # the arm by hand, on its own updates
    problem, model = quadratic(), quadratic().build(run.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.peak, weight_decay=0.5)
    for step in range(STEPS):
        batch = problem.fetch("train", problem.batch(run.seed, step))
        optimizer.param_groups[0].update({name: float(hypers[name][step]) for name in ("lr", "weight_decay")})
        optimizer.zero_grad()
        problem.loss(model(batch[0]), batch[1]).backward()
        optimizer.step()
    with torch.no_grad():
        last = problem.loss(model(problem.valid.tensors[0]), problem.valid.tensors[1]).item()
    assert run.value == pytest.approx(last, rel=1e-4)


@STACKED
@pytest.mark.parametrize("to", ["tapered", "torch", "transformers", "lightning"])
@pytest.mark.parametrize("arm", ["patient", "warmed", "trained"])
def test_an_arm_is_exported_where_its_rule_decides_alike(done, to, arm, capsys):
    _, _, result, _, folder, _ = done
    keep(Kept.of(result, report.plot_data(result).fields), folder)
    code = main(["export", str(folder), "--to", to, "--arm", arm, "--json"])
    out, errors = capsys.readouterr()
    if arm == "trained" and to in ("transformers", "lightning"):
        assert (code, out) == (2, "")
        assert f"the training loss of every 7th update, and {to} tells its evaluations; try --to torch" in errors
        return
    lines = json.loads(out)["code"]
    model = torch.nn.Linear(2, 1)
    known = {"model": model}
    exec("\n".join(lines), known)
    (peak,) = (found.best.peak for found in result.arms if found.name == arm)
    if to == "torch" and arm != "warmed":
        ours, theirs = (
            known["scheduler"],
            ReduceLROnPlateau(known["optimizer"], **given(HASTY if arm == "trained" else PATIENT)),
        )
        assert type(ours) is ReduceLROnPlateau
        assert {k: v for k, v in vars(ours).items() if k != "optimizer"} == {
            k: v for k, v in vars(theirs).items() if k != "optimizer"
        }
        assert known["optimizer"].param_groups[0]["lr"] == peak
    elif arm == "warmed" and to == "torch":
        assert known["clock"].schedules[0]["lr"].controller == result.asked.study.arms[3].rate(STEPS, peak)
    elif to == "tapered":
        told = known["optimizer"].param_groups[0]["lr"]
        assert told == (0.0 if arm == "warmed" else peak)
        known["optimizer"].observe(1.0)
    elif to == "transformers" and arm == "patient":
        assert known["rule"]["lr_scheduler_kwargs"] == {"factor": 0.5, "threshold": 0.05, "patience": 1}
        assert not known["rule"]["greater_is_better"]


def test_of_what_a_shared_row_told_each_takes_its_own(tmp_path):
    arm = arm_text("p", "warmup(6).then(plateau())", more=TRAINED)
    follows = read(tmp_path, PLAIN + arm).study.arms[1].following(STEPS, 0.1)
    told = tuple((step, float(step)) for step in (5, 7, 10, 14, 15, 20, 21, 56))
    row = Run("key", "p", 0.1, 0, STEPS, told=told)
    assert follows.told(row) == [(7, 7.0), (14, 14.0), (21, 21.0), (56, 56.0)]
    assert list(follows.hears(range(0, 61, 5))) == [7, 14, 21, 28, 35, 42, 49, 56]
    assert [follows.next(step, ()) for step in (0, 7, 13, 55, 56)] == [7, 14, 14, 56, STEPS]
