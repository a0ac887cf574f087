"""Training loops of others that own the optimizer: interrupted, resumed; their rates against the closed form."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

from tapered import linear
from tapered.attach import as_lr_scheduler, clock_of

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["tapered", "attached"]


def example(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


trainer, loop, script = example("transformers_trainer"), example("accelerate_loop"), example("plain_script")


def interrupted(module, folder, name, **arguments) -> dict[int, float]:
    """The rates of every update: those before the interruption, then those after it over them."""
    rates: dict[int, float] = {}

    def stop(step: int, rate: float) -> None:
        rates[step] = rate
        module.interrupt(step, rate)

    with pytest.raises(KeyboardInterrupt):
        module.train(folder, name, stop, **arguments)
    module.train(folder, name, rates.__setitem__, **arguments)
    return rates


def expected(module, steps: int) -> dict[int, float]:
    """accelerate's loop logs after `scheduler.step()`, so the coming update's rate; the others what was used."""
    back = 0 if module is loop else 1
    return {step: pytest.approx(module.closed_form(step - back), rel=1e-12, abs=1e-18) for step in range(1, steps + 1)}


def under_torch(module, monkeypatch) -> None:
    """The same example with torch's AdamW and LambdaLR of the same curve."""
    monkeypatch.setitem(module.OPTIMIZERS, "torch", lambda params: torch.optim.AdamW(params, lr=1.0))
    scheduler = lambda optimizer: LambdaLR(optimizer, module.closed_form)  # noqa: E731
    monkeypatch.setattr(module, "as_lr_scheduler", scheduler, raising=False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("module", [trainer, loop], ids=["transformers", "accelerate"])
def test_what_is_logged_is_what_lambda_lr_logs(module, name, tmp_path: Path, monkeypatch) -> None:
    theirs: dict[int, float] = {}
    ours: dict[int, float] = {}
    with monkeypatch.context() as patch:
        under_torch(module, patch)
        (tmp_path / "torch").mkdir()
        module.train(tmp_path / "torch", "torch", theirs.__setitem__)
    (tmp_path / name).mkdir()
    module.train(tmp_path / name, name, ours.__setitem__)
    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-18)
    assert len(ours) == module.STEPS


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_loop_logs_what_lambda_lr_logs_and_last_lr_is_what_was_used(name, tmp_path: Path) -> None:
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(script.OPTIMIZERS, "kept", lambda params: made.append(script.OPTIMIZERS[name](params)) or made[0])
        rates: dict[int, float] = {}
        used: dict[int, float] = {}

        def on_step(step: int, rate: float) -> None:
            rates[step] = rate
            (used[step],) = (clock_of(made[0]) or made[0]).last_lr

        script.train(tmp_path, "kept", on_step)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=1.0)
    scheduler, theirs = LambdaLR(optimizer, script.closed_form), {}
    for step in range(1, script.STEPS + 1):
        theirs[step] = optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(theirs, rel=1e-12, abs=1e-18) == expected(script, script.STEPS)
    assert used == rates


@pytest.mark.parametrize("name", NAMES)
def test_lightnings_monitor_logs_what_lambda_lr_logs(name, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("lightning")
    module = example("lightning_module")
    with monkeypatch.context() as patch:
        under_torch(module, patch)
        theirs: dict[int, float] = {}
        module.train(tmp_path / "torch", "torch", theirs.__setitem__)
    ours: dict[int, float] = {}
    module.train(tmp_path / name, name, ours.__setitem__)
    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-18)
    assert ours == {step: pytest.approx(module.closed_form(step), abs=1e-18) for step in range(1, module.STEPS + 1)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_trainer_logs_the_rate_that_each_update_used(name, accumulate, tmp_path: Path) -> None:
    rates = interrupted(trainer, tmp_path, name, gradient_accumulation_steps=accumulate)
    assert rates == expected(trainer, trainer.STEPS)


@pytest.mark.parametrize("name", NAMES)
def test_trainer_resumes_to_the_same_bits_from_plain_files(name, tmp_path: Path) -> None:
    through = trainer.train(tmp_path / "whole", name, lambda *_: None)
    (tmp_path / "parted").mkdir()
    with pytest.raises(KeyboardInterrupt):
        trainer.train(tmp_path / "parted", name, trainer.interrupt)
    for file in ("optimizer.pt", "scheduler.pt"):
        assert torch.load(tmp_path / "parted" / "checkpoint-8" / file, weights_only=True)
    resumed = trainer.train(tmp_path / "parted", name, lambda *_: None)
    assert all(map(torch.equal, resumed.parameters(), through.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_trainer_is_refused_another_schedule_unless_it_is_said(name, tmp_path: Path, monkeypatch) -> None:
    """PEERS: a new rate is ignored in silence. Refused, naming both; said in on_train_begin, it holds from there on."""

    class Lower(TrainerCallback):
        def on_train_begin(self, *_, optimizer=None, **__):
            inner = optimizer.optimizer  # accelerate's wrapper is around it
            (clock_of(inner) or inner).replace(lr=linear(1e-4, 0.0, steps=12), counted="now")

    with pytest.raises(KeyboardInterrupt):
        trainer.train(tmp_path, name, trainer.interrupt)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "RATE", linear(2e-3, 0.0, steps=20))
        with pytest.raises(ValueError, match=r"saved 0.001 \* warmup\(5\).*this one's linear\(0.002, steps=20\)"):
            trainer.train(tmp_path, name, lambda *_: None)
    rates: dict[int, float] = {}
    trainer.train(tmp_path, name, rates.__setitem__, callbacks=[Lower()])
    assert rates == {step: pytest.approx(1e-4 * (1 - (step - 9) / 12)) for step in range(9, 21)}


@pytest.mark.parametrize("name", NAMES)
def test_trainers_own_scheduler_beside_is_refused(name, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(trainer, "as_lr_scheduler", lambda _: None)
    with pytest.raises(ValueError, match=r"(from outside at step \d, but it follows|writes `lr`).* as_lr_scheduler\("):
        trainer.train(tmp_path, name, lambda *_: None)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_accelerate_steps_its_scheduler_as_it_likes(name, tied, tmp_path: Path) -> None:
    assert interrupted(loop, tmp_path, name, tied=tied) == expected(loop, loop.STEPS)


def test_accelerate_preparing_an_optimizer_is_no_resumption(tmp_path: Path, caplog) -> None:
    with caplog.at_level("INFO", logger="tapered"):
        for name in NAMES:
            (tmp_path / name).mkdir()
            interrupted(loop, tmp_path / name, name)
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in said] == ["step 12", "step 12"]


WORKER = """
import sys; sys.path.insert(0, {examples!r})
import json, accelerate_loop as loop
from tapered.attach.scheduler import FollowingScheduler
rates, calls, step = {{}}, [], FollowingScheduler.step
FollowingScheduler.step = lambda self: (calls.append(1), step(self))
loop.train({folder!r}, {name!r}, rates.__setitem__)
print(json.dumps([rates, len(calls)]))
"""


def test_accelerate_in_two_processes(tmp_path: Path) -> None:
    """accelerate steps the scheduler twice at each update, where a torch schedule ends halfway."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = WORKER.format(examples=str(EXAMPLES), folder=str(tmp_path), name="attached")
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    ranks = [{**os.environ, **group, "RANK": str(i), "LOCAL_RANK": str(i)} for i in range(2)]
    running = [subprocess.Popen([sys.executable, "-c", code], env=rank, stdout=subprocess.PIPE) for rank in ranks]
    for process in running:
        rates, calls = json.loads(process.communicate(timeout=100)[0].splitlines()[-1])  # gloo talks, too
        assert calls == 2 * loop.STEPS
        assert {int(step): rate for step, rate in rates.items()} == expected(loop, loop.STEPS)


@pytest.mark.parametrize(("state", "said"), [
    ({"last_epoch": 8, "base_lrs": [0.1]}, r"a torch scheduler at last_epoch=8, .* leave this state out and load"),
    ({"format": 1, "step": 0, "groups": []}, r"a state of a clock of attach; this AdamW has schedules of its"),
    ({"lr": 0.1}, r"a state of something else, with the keys \['lr'\]; this AdamW has schedules of its own"),
])  # fmt: skip
def test_states_of_others(state, said) -> None:
    scheduler = as_lr_scheduler(loop.OPTIMIZERS["tapered"]([torch.nn.Parameter(torch.ones(2))]))
    with pytest.raises(ValueError, match=said):
        scheduler.load_state_dict(state)


def test_a_torch_schedulers_run_is_taken_over_as_it_says() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    old = torch.optim.AdamW([weight], lr=1e-2)
    scheduler = LambdaLR(old, lambda k: 0.5**k)
    for _ in range(8):
        weight.square().sum().backward()
        old.step()
        scheduler.step()
    kept = old.state_dict(), scheduler.state_dict()
    for name in NAMES:
        optimizer = loop.OPTIMIZERS[name]([weight])
        with pytest.raises(ValueError, match="at last_epoch=8, whose rates this AdamW does not follow"):
            as_lr_scheduler(optimizer).load_state_dict(kept[1])
    own = loop.OPTIMIZERS["tapered"]([weight])
    own.load_state_dict(kept[0])
    plain = torch.optim.AdamW([weight], lr=1e-2)
    plain.load_state_dict(kept[0])
    clock = loop.attach(plain, lr=loop.RATE, step=8)
    for optimizer in (own, plain):
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(loop.closed_form(9))
    assert clock.step == own.steps == 9
    assert clock.last_lr == own.last_lr == pytest.approx((loop.closed_form(8),))
