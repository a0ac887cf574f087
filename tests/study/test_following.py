"""Rules that follow a loss as arms: a plain torch loop's rates and losses, told, shared, stopped, verified, shown."""

import json
from dataclasses import replace

import pytest
import torch
from study_cases import LOOP, ROWS, arm_text, finished, read, stopped_again_and_again, trained_as
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tapered.study import open_store, verify
from tapered.study.plan.rounds import rounds
from tapered.study.train import relay, task
from tapered.study.train.grow import Grower
from tapered.study.train.task import Work
from tapered.study.train.verify import Verified
from tapered.training.workload import quadratic

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
