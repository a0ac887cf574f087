"""Runs of scripts for tests: a folder that asks, the witness in this process, and what it wrote."""

import contextlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch.optim import optimizer as optimizers

from tapered.scripts import rates
from tapered.scripts.asked import Asked
from tapered.scripts.current import ScriptRun
from tapered.scripts.making import watch_making

STEPS = 12
SOURCE = Path(__file__).parents[2] / "src"


def cosine(peak=0.1, steps=STEPS):
    """By hand."""
    return [peak * (1 + math.cos(math.pi * k / steps)) / 2 for k in range(steps)]


def ask(folder, table=None, **fields):
    """A run's folder."""
    table = cosine() if table is None else table
    asked = {"arm": "cosine", "seed": 0, "steps": len(table), "until": len(table), "peak": max(table), **fields}
    folder.mkdir(parents=True, exist_ok=True)
    Asked(**asked).write(folder, table)
    return ScriptRun(folder)


@contextlib.contextmanager
def witnessed(run, *, sets=False):
    """One process of the run, as if it had been started within the witness."""
    make = optimizers.Optimizer.__init__
    held = optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks
    before = [dict(hooks) for hooks in held]
    watch_making(run, sets=sets)
    try:
        yield
    finally:
        optimizers.Optimizer.__init__ = make
        for hooks, kept in zip(held, before, strict=True):
            hooks.clear()
            hooks.update(kept)


def seen(folder, rank=0):
    """update -> rate, of one process; it fails where an update was told twice."""
    found = {one.rank: one for one in rates.applied(folder)}.get(rank)
    if found is None:
        return {}
    assert len(set(found.updates.tolist())) == len(found.updates), "told twice"
    return dict(zip(found.updates.tolist(), found.rates.tolist(), strict=True))


def difference(run, **bounds):
    """What `compare` says."""
    return rates.compare(run.rates, rates.applied(run.folder), **bounds)


def start(folder, rate, script, *arguments, warm=None, **variables):
    """The script in a process of its own, within the witness."""
    words = ["-m", "tapered.scripts.witness", rate, str(script), *map(str, arguments)]
    return started(folder, words, warm=warm, **variables)


def started(folder, words, *, warm=None, **variables):
    """Python with any words, as a script of this run; a warm one, or a new one."""
    env = around(TAPERED_RUN=str(folder), **variables)
    if warm:
        return warm.started(words, env)
    line = [sys.executable, *words]
    return subprocess.run(line, env=env, capture_output=True, text=True, timeout=600, check=False)


def around(**variables):
    """The environment of a script."""
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}


def model(seed=0, wide=3):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, wide), torch.nn.Tanh(), torch.nn.Linear(wide, 1))


X = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))


def loss_of(net):
    return net(X).square().mean()


def update(net, optimizer):
    """One, by a closure where the optimizer wants one."""

    def closure():
        optimizer.zero_grad()
        loss = loss_of(net)
        loss.backward()
        return loss

    if isinstance(optimizer, torch.optim.LBFGS):
        return optimizer.step(closure)
    closure()
    return optimizer.step()


def same(one, other):
    return all(map(torch.equal, one.parameters(), other.parameters()))


def by_hand(make, table, shares=None, net=None):
    """The weights of a loop that writes the rate itself."""
    net = model() if net is None else net
    optimizer = make(net)
    for rate in table:
        for index, group in enumerate(optimizer.param_groups):
            own = rate * (1.0 if shares is None else shares[index])
            if torch.is_tensor(group["lr"]):
                group["lr"].fill_(own)
            else:
                group["lr"] = own
        update(net, optimizer)
    return net


def close(found, table):
    np.testing.assert_allclose(list(found.values()), table, rtol=1e-12, atol=0)
    assert list(found) == list(range(len(table)))
