"""Two processes on this machine: DistributedDataParallel, FSDP2, and states that go from one process to two and back.

The oracle of a rate is the schedule itself, that of the weights one process with the joined batch. The model is in
float64: halves of a batch are summed in another order, and nothing else may differ.
"""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import distributed_worker as worker
import pytest
import torch
import torch.distributed.checkpoint as dcp
from distributed_worker import AFTER, BEFORE, DATA_PARALLEL, OPTIMIZERS, RATE, TENSORS, WHOLE
from torch import distributed
from torch.distributed.checkpoint.state_dict import get_state_dict

from tapered import optim

pytestmark = [
    pytest.mark.skipif(not distributed.is_available(), reason="torch without torch.distributed"),
    # of torch's own code, in one process
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled", "ignore:.*TypedStorage:UserWarning"),
]
RATES = [RATE(k) for k in range(BEFORE + AFTER)]
WAYS = [*((name, "files") for name in OPTIMIZERS), *((name, "whole") for name in TENSORS)]
REFUSALS = {"refused": "", "fork refused": ""}
ORDERS = 1e-11  # of float64 sums; Adam divides by the root of what it sums


def alone(name: str):
    net = worker.model()
    return net, OPTIMIZERS[name](net.parameters())


def one_process(folder: Path) -> dict:
    """Each optimizer uninterrupted; saved on the way, for two processes to go on from."""
    found, whole = {}, {}
    for name in OPTIMIZERS:
        net, optimizer = alone(name)
        first = worker.weights(net)
        worker.steps(net, optimizer, BEFORE)
        states = copy.deepcopy(get_state_dict(net, optimizer))
        whole[name] = states
        dcp.save({"model": states[0], "optimizer": states[1]}, checkpoint_id=folder / f"one-{name}", no_dist=True)
        worker.steps(net, optimizer, AFTER)
        found[name] = {"first": first, "weights": worker.weights(net)}
        with optimizer.readout() if isinstance(optimizer, optim.Optimizer) else worker.nothing():
            found[name]["readout"] = worker.weights(net)
    torch.save(whole, folder / "one.pt")
    return found


def two_processes(folder: Path) -> list[dict]:
    """What each of them saw; neither outlives this."""
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(worker.__file__)]
    logs = [(folder / f"{rank}.log").open("w+") for rank in (0, 1)]
    started = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment, stdout=log, stderr=log)
        for rank, log in enumerate(logs)
    ]
    try:
        codes = [process.wait(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
        said = []
        for log in logs:
            log.seek(0)
            said.append(log.read()[-3000:])
            log.close()
    assert codes == [0, 0], said
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[dict, list[dict], Path]:
    folder = tmp_path_factory.mktemp("distributed")
    return one_process(folder), two_processes(folder), folder


def close(found: list[float], wanted: list[float]) -> bool:
    return torch.allclose(torch.tensor(found).double(), torch.tensor(wanted).double(), rtol=ORDERS, atol=ORDERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_shards_equal_one_process(runs, name) -> None:
    """fully_shard: the second process holds only rows whose gradients are 0, and of one layer nothing at all."""
    alone, ranks, _ = runs
    assert alone[name]["first"] != alone[name]["weights"]
    for rank in ranks:
        seen = rank["shards"][name]
        assert seen["rates"] == RATES
        assert close(seen["weights"], alone[name]["weights"])
        assert close(seen["readout"], alone[name]["readout"])
        assert seen["left"] == seen["weights"]
    assert (alone[name]["readout"] != alone[name]["weights"]) == (name == "ScheduleFreeAdamW")


@pytest.mark.parametrize(("name", "kind"), [*WAYS, *((name, "from the first") for name in TENSORS)])
def test_saved_by_one_process_resumed_by_two(runs, name, kind) -> None:
    alone, ranks, _ = runs
    for rank in ranks:
        seen = rank["shards"][name]
        assert seen[f"{kind}: rates"] == RATES[BEFORE:]
        assert close(seen[f"{kind}: weights"], alone[name]["weights"])


@pytest.mark.parametrize(("name", "kind"), WAYS)
def test_saved_by_two_processes_resumed_by_one(runs, name, kind) -> None:
    wanted, _, folder = runs
    net, optimizer = alone(name)
    if kind == "files":
        worker.load(net, optimizer, folder / f"two-{name}")
    else:
        worker.load_whole(net, optimizer, torch.load(folder / f"two-{name}.pt", weights_only=True), WHOLE)
    assert worker.steps(net, optimizer, AFTER) == RATES[BEFORE:]
    assert close(worker.weights(net), wanted[name]["weights"])


@pytest.mark.parametrize("name", DATA_PARALLEL)
def test_data_parallel_equals_one_process(runs, name) -> None:
    alone, ranks, _ = runs
    for rank in ranks:
        seen = rank["ddp"][name]
        assert seen["rates"] == RATES
        assert close(seen["weights"], alone[name]["weights"])
        assert (seen["step"], seen["resumed: rates"]) == (BEFORE, RATES[BEFORE:])
        assert seen["resumed: weights"] == seen["weights"]
    assert ranks[0]["ddp"][name] | REFUSALS == ranks[1]["ddp"][name] | REFUSALS


def test_one_process_writes(runs) -> None:
    _, ranks, folder = runs
    for name in DATA_PARALLEL:
        first, second = (rank["ddp"][name] for rank in ranks)
        assert first["refused"] == first["fork refused"] == ""
        assert second["refused"].startswith(f"this is process 1 of 2, and one writes to {folder / name / 'ddp'}; try")
        assert second["fork refused"].startswith("this is process 1 of 2, and one writes to")
        assert first["resume refused"] == second["resume refused"]
        assert "got generators=True in a run of 2 processes" in first["resume refused"]
        assert [path.name for path in (folder / name / "ddp").glob("0*")] == [f"000001-step{BEFORE}"]


def test_parts_of_tensors_are_left_to_torch(runs) -> None:
    _, ranks, folder = runs
    for rank in ranks:
        for where, said in (("model.0.weight", rank["parts"]), ("optimizer.params[0]", rank["no model"])):
            assert said.startswith(f"`{where}` is a DTensor, of which each process holds a part; save and load such")
            assert "torch.distributed.checkpoint" in said
    assert not (folder / "parts").exists()
