"""Copies, pickles, states that go between optimizers (torch's and this one, Adam and AdamW), others' entries kept."""

import copy
import pickle
from typing import Any

import torch
from torch import nn
from torch_templates.database import kinds
from torch_templates.judge import Side
from torch_templates.problems import Affine, shown, slopes, state_of, weight
from torch_templates.states import alike
from torch_templates.template import default_only, seeded, template


@template(times=5)
def isolated(side: Side) -> None:
    """Updates after a load leave the optimizer that the state came from as it was."""
    pair = [[weight(side, 10, 5)], [weight(side, 10, 5)]]
    optimizers = [side.make(params) for params in pair]
    slopes(pair[0], 0)
    optimizers[0].step()
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    before = copy.deepcopy(state_of(optimizers[0], pair[0][0]))
    slopes(pair[1], 1)
    optimizers[1].step()
    side.see("kept", alike(before, state_of(optimizers[0], pair[0][0])))
    shown(side, optimizers[1], pair[1], "update 1")


@template(variants={"torch's into it": {"into": True}, "its own into torch's": {"into": False}}, times=20)
def to_and_from_torch(side: Side, *, into: bool) -> None:
    """A state goes on in torch's optimizer of the same name, and torch's in this one."""
    problem = Affine(side)
    options = {key: value for key, value in side.options.items() if key != "compile"}
    makers = [lambda params: side.torchs(params, **options), side.make]
    first, second = (make(problem.params) for make in (makers if into else makers[::-1]))
    problem.train(side, first, 4)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    problem.train(side, second, 4)


@template(ways=("default",), given=default_only, only=lambda info, _: info.name in ("Adam", "AdamW"), times=20)
def kind_of_decay(side: Side) -> None:
    """Adam takes up AdamW's decay with its state; AdamW keeps its own, also over a state without the word."""
    names = ["Adam", "AdamW"]
    own, other = (
        kinds(name)[side.kind is not side.torchs] for name in sorted(names, key=lambda n: n != side.info.name)
    )
    for word in ("decoupled_weight_decay", "another"):
        problem = Affine(side)
        optimizer = other(problem.params, weight_decay=0.1)
        problem.train(side, optimizer, 2)
        state = copy.deepcopy(optimizer.state_dict())
        if side.info.name == "AdamW":
            state["param_groups"][0].pop(word, None)
        optimizer = own(problem.params, weight_decay=0.1)
        optimizer.load_state_dict(state)
        problem.train(side, optimizer, 2)
        side.see("decoupled", optimizer.param_groups[0]["decoupled_weight_decay"])


@template(variants={"deepcopy": {"again": copy.deepcopy}, "pickle": {"again": lambda o: pickle.loads(pickle.dumps(o))}})
def copied(side: Side, *, again: Any) -> None:
    """A copy has everything that the optimizer has, trains weights of its own alike, and can be copied itself."""
    params = [weight(side, 10, 5, seed=1), weight(side, 3, seed=2)]
    optimizer = side.make(params)
    for k in range(6):
        if k in (0, 3, 4):
            public = {key for key in vars(optimizer) if not key.startswith("_")}
            before, optimizer = optimizer, again(optimizer)
            side.see("everything", public == {key for key in vars(optimizer) if not key.startswith("_")})
            params = optimizer.param_groups[0]["params"]
            side.see("its own", params[0] is not before.param_groups[0]["params"][0])
        slopes(params, k)
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")


@template(ways=("default", "fused=True"), times=5)
def of_others(side: Side) -> None:
    """What others keep in a group and in a parameter's state is kept by updates, copies, saving and loading."""
    params = [weight(side, 10, 5, seed=1), weight(side, 3, seed=2)]
    optimizer = side.make([{"params": params, "swa_lr": 0.05, "name": "all"}])
    for k in range(2):
        slopes(params, k)
        optimizer.step()
    optimizer.param_groups[0]["max_lr"] = 0.5
    optimizer.state[params[0]]["slow"] = torch.ones(3, dtype=torch.float64)
    again = side.make([{"params": params, "swa_lr": 0.7}])
    again.load_state_dict(copy.deepcopy(optimizer).state_dict())
    for k in range(2, 4):
        slopes(params, k)
        again.step()
        shown(side, again, params, f"update {k}")
    side.see("the group's", {key: again.param_groups[0].get(key) for key in ("swa_lr", "max_lr", "name")})


@template()
def printed(side: Side) -> None:
    """It prints, with the class's name and every option that torch's prints."""
    text = repr(side.make([weight(side, 2, 3), weight(side, 2)]))
    side.see("name", text.split("(")[0].strip())
    known = side.torchs([torch.ones(1)]).defaults
    side.see("options", [key for key in known if f"{key}:" not in text])


@template()
def states_hold_something(side: Side) -> None:
    """After an update every parameter's state has something in it."""
    made = nn.Linear(5, 5).to(dtype=side.dtype, device=side.device)
    optimizer = side.make(made.parameters())
    made(seeded(2, 5, of=side)).sum().backward()
    optimizer.step()
    side.see("something", all(map(len, optimizer.state.values())))
