"""Forks: the rate asked for is in force at the first step, and where it came from is written down."""

from pathlib import Path

import pytest
import torch
from torch import nn

import tapered
from tapered.attach import attach, clock_of
from tapered.checkpoint import CheckpointError, describe, fork, release, resume, save
from tapered.schedules import constant

MOVING = tapered.exponential_decay(0.5, decay_steps=1, decay_rate=0.9)


def ours(lr=0.5, **options):
    weight = nn.Parameter(torch.ones(2))
    return {"weight": weight, "optimizer": tapered.SGD([weight], lr=lr, **options)}


def theirs(lr=0.5, **options):
    weight = nn.Parameter(torch.ones(2))
    return {"weight": weight, "optimizer": torch.optim.SGD([weight], lr=lr, **options)}


def attached(lr=0.5, **options):
    parts = theirs(0.5, **options)
    return {**parts, "clock": attach(parts["optimizer"], lr=lr)}


def begun(folder: Path, parts, steps: int = 4) -> None:
    for _ in range(steps):
        moved(parts)
    save(folder, steps, **parts, epoch=7)


def moved(parts) -> float:
    """How far a gradient of 1 moves the weight: the rate that was in force, for SGD without momentum."""
    before = parts["weight"][0].item()
    parts["optimizer"].zero_grad()
    parts["weight"].sum().backward()
    parts["optimizer"].step()
    return before - parts["weight"][0].item()


@pytest.mark.parametrize("before", [0.5, MOVING])
@pytest.mark.parametrize("make", [ours, attached])
@pytest.mark.parametrize(("asked", "counted", "rates"), [
    (0.125, None, [0.125, 0.125]),
    (tapered.linear(0.25, 0.0, steps=4), "now", [0.25, 0.1875]),
    (tapered.linear(1.0, 0.0, steps=8), "start", [0.5, 0.375]),
    (constant(0.125), "now", [0.125, 0.125]),
])  # fmt: skip
def test_the_rate_at_the_first_step(make, before, asked, counted, rates, tmp_path: Path) -> None:
    begun(tmp_path / "a", make(before))
    child = make(before)
    found = fork(tmp_path / "a", into=tmp_path / "b", lr=asked, counted=counted, **child)
    assert child["optimizer"].param_groups[0]["lr"] == rates[0]
    assert [moved(child), moved(child)] == pytest.approx(rates)
    assert (found.step, found.values, found.lineage[0].step) == (4, {"epoch": 7}, 4)
    assert found.lineage[0].folder.endswith("a/000001-step4")
    assert found.lineage[0].change["moments"] == "kept"
    assert found.run != found.lineage[0].run
    release(tmp_path / "b")
    again = make(before)
    if before is MOVING or asked != 0.125:
        with pytest.raises(CheckpointError, match="`lr` in group 0"):  # the child has another schedule now
            resume(tmp_path / "b", **again)
    resume(tmp_path / "b", hypers="saved", **again)
    assert [moved(again), moved(again)] == pytest.approx(rates)


@pytest.mark.parametrize("initial", [True, False])
def test_a_plain_torch_optimizer(initial: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """torch#156846: the saved rate wins in silence, and a new scheduler starts from a stale initial_lr."""
    parts = theirs()
    scheduler = torch.optim.lr_scheduler.StepLR(parts["optimizer"], 2) if initial else None
    begun(tmp_path / "a", parts if scheduler is None else {**parts, "scheduler": scheduler})
    child = theirs(lr=0.3)
    fork(tmp_path / "a", into=tmp_path / "b", lr=0.125, **child)
    assert moved(child) == 0.125
    later = torch.optim.lr_scheduler.LambdaLR(child["optimizer"], lambda _: 1.0)
    assert moved(child) == 0.125
    later.step()
    assert child["optimizer"].param_groups[0]["lr"] == 0.125
    with pytest.raises(CheckpointError, match="takes no schedule; try attach"):
        fork(tmp_path / "a", into=tmp_path / "c", lr=MOVING, counted="now", **theirs())
    assert not (tmp_path / "c").exists()


def test_stale_schedulers_are_refused(tmp_path: Path) -> None:
    parts = theirs()
    begun(tmp_path / "a", {**parts, "scheduler": torch.optim.lr_scheduler.StepLR(parts["optimizer"], 2)})
    child = theirs()
    scheduler = torch.optim.lr_scheduler.StepLR(child["optimizer"], 2)
    for given in ({**child, "scheduler": scheduler}, child):
        with pytest.raises(CheckpointError, match=r"StepLR would write its own rate|a torch scheduler was made for"):
            fork(tmp_path / "a", into=tmp_path / "b", lr=0.125, **given)
    assert not (tmp_path / "b").exists()
    assert child["optimizer"].param_groups[0]["lr"] == 0.5


def test_a_schedule_where_there_was_none(tmp_path: Path) -> None:
    """From a plain torch run to an attached one, and back."""
    begun(tmp_path / "a", theirs(momentum=0.5))
    child = attached(lr=MOVING, momentum=0.5)
    del child["clock"]
    fork(tmp_path / "a", into=tmp_path / "b", lr=tapered.linear(0.25, 0.0, steps=4), counted="now", **child)
    assert child["optimizer"].param_groups[0]["lr"] == 0.25
    moved(child)
    moved(child)
    assert clock_of(child["optimizer"]).last_lr == (0.1875,)
    save(tmp_path / "b", 6, **child)
    plain = theirs(momentum=0.5)
    fork(tmp_path / "b", into=tmp_path / "c", lr=0.125, **plain)
    moved(plain)
    assert plain["optimizer"].param_groups[0]["lr"] == 0.125
    assert [origin.change["lr"] for origin in resume(tmp_path / "c", **plain).lineage][1:] == ["0.125"]


@pytest.mark.parametrize("make", [tapered.Adam, torch.optim.Adam, "attached"])
def test_moments_kept_or_reset(make, tmp_path: Path) -> None:
    """Kept, a step goes on as Adam would; reset, the first update is the rate itself, as at a run's start."""

    def build():
        weight = nn.Parameter(torch.ones(1))
        optimizer = (torch.optim.Adam if make == "attached" else make)([weight], lr=0.5)
        clock = {"clock": attach(optimizer, lr=constant(0.5))} if make == "attached" else {}
        return {"weight": weight, "optimizer": optimizer, **clock}

    parts = build()
    begun(tmp_path / "a", parts)
    kept = parts["optimizer"].state[parts["weight"]]["exp_avg"].clone()
    for moments, folder in ((True, "kept"), (False, "reset")):
        child = build()
        fork(tmp_path / "a", into=tmp_path / folder, lr=0.25, keep_moments=moments, **child)
        release(tmp_path / folder)
        resumed = build()
        resume(tmp_path / folder, hypers="saved", **resumed)  # its first checkpoint is whole, also without moments
        for run in (child, resumed):
            state = run["optimizer"].state
            assert torch.equal(state[run["weight"]]["exp_avg"], kept) if moments else len(state) == 0
            (-3 * run["weight"].sum()).backward()
            before = run["weight"].item()
            run["optimizer"].step()
            assert (run["weight"].item() - before == pytest.approx(0.25)) == (not moments)
            assert run["optimizer"].param_groups[0]["lr"] == 0.25
        assert torch.equal(child["weight"], resumed["weight"])
        assert describe(tmp_path / folder)[0].lineage[0].change["moments"] == ("kept" if moments else "reset")
        if make is tapered.Adam:
            assert child["optimizer"].steps == 5  # schedules count on


def test_groups_and_other_hypers(tmp_path: Path) -> None:
    def build():
        one, two = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        groups = [{"params": [one]}, {"params": [two], "lr": 0.2}]
        return {"one": one, "two": two, "optimizer": tapered.AdamW(groups, lr=0.1)}

    save(tmp_path / "a", 3, **build())
    child = build()
    momentum = tapered.linear(0.9, 0.5, steps=4)
    fork(tmp_path / "a", into=tmp_path / "b", lr=[0.3, 0.4], hypers={"weight_decay": 0.2, "beta1": momentum},
         counted="now", **child)  # fmt: skip
    groups = child["optimizer"].param_groups
    assert [group["lr"] for group in groups] == [0.3, 0.4]
    assert [group["weight_decay"] for group in groups] == [0.2, 0.2]
    assert [group["betas"] for group in groups] == [(0.9, 0.999), (0.9, 0.999)]
    for bad, shown in [({"lr": [0.1]}, "got 1 values for `lr`; `optimizer` has 2 parameter groups"),
                       ({"lr": float("nan")}, "got nan for `lr` in group 0"), ({"lr": -1.0}, "got -1.0 for `lr`"),
                       ({"hypers": {"speed": 1.0}}, "got a new `speed` for `optimizer`, whose groups have"),
                       ({"lr": MOVING}, "got counted=None with the schedule"),
                       ({"lr": tapered.from_function(float), "counted": "now"}, "cannot be written")]:  # fmt: skip
        with pytest.raises(ValueError, match=shown):
            fork(tmp_path / "a", into=tmp_path / "c", **bad, **build())
    assert not (tmp_path / "c").exists()
    other = build()
    other["optimizer"].param_groups[0]["eps"] = 1e-3
    with pytest.raises(CheckpointError, match=r"`eps` in group 0 differs: saved 1e-08, this optimizer's 0\.001"):
        fork(tmp_path / "a", into=tmp_path / "c", lr=0.1, **other)


def test_lineage_grows_and_parents_stay(tmp_path: Path) -> None:
    parts = ours()
    begun(tmp_path / "a", parts)
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    fork(tmp_path / "a", into=tmp_path / "b", lr=0.25, **parts)
    moved(parts)
    save(tmp_path / "b", 5, **parts)
    fork(tmp_path / "b", into=tmp_path / "c", lr=0.125, **parts)
    moved(parts)
    save(tmp_path / "c", 6, **parts)
    found = resume(tmp_path / "c", **parts)
    assert [(origin.step, origin.change["lr"]) for origin in found.lineage] == [(4, "0.25"), (5, "0.125")]
    assert {path: path.read_bytes() for path in before} == before
    for into, shown in ((tmp_path / "b", "holds a run already"), (tmp_path / "c", "a folder of its own")):
        with pytest.raises(CheckpointError, match=shown):
            fork(tmp_path / "c", into=into, lr=0.1, **parts)


def test_nothing_has_changed_where_the_child_cannot_be_saved(tmp_path: Path, monkeypatch) -> None:
    begun(tmp_path / "a", ours())
    child = ours(lr=0.3)
    import os

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CheckpointError, match="No space left"):
        fork(tmp_path / "a", into=tmp_path / "b", lr=0.125, **child)
    assert child["optimizer"].param_groups[0]["lr"] == 0.3
    assert child["weight"].tolist() == [1, 1]
    monkeypatch.undo()
    fork(tmp_path / "a", into=tmp_path / "b", lr=0.125, **child)
