"""Tiny runs whose every number is compared: three models, dropout, shuffling, batch statistics, any optimizer."""

import hashlib

import torch
from models import Transformer
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import tapered
from tapered import tensorflow1
from tapered.attach import attach
from tapered.checkpoint import Batches

STEPS, SIZE = 30, 48
SHAPE = {"perceptron": (2,), "convolution": (1, 8, 8)}


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))


def convolution() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, 2)
    )


def transformer() -> nn.Module:
    model = Transformer()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.1
    return model


MODELS = {"perceptron": perceptron, "convolution": convolution, "transformer": transformer}
RATE = tapered.exponential_decay(0.05, decay_steps=10, decay_rate=0.5)


def fused(params):
    optimizer = torch.optim.Adam(params, lr=0.1, fused=True)
    return optimizer, attach(optimizer, lr=RATE)


OPTIMIZERS = {
    **{
        kind.__name__: lambda params, kind=kind: (kind(params, lr=0.1 * RATE if kind is tapered.Lion else RATE), None)
        for kind in (
            tapered.Adam, tapered.AdamW, tapered.NAdam, tapered.RAdam, tapered.Adamax, tapered.RMSprop,
            tapered.Adagrad, tapered.Adadelta, tapered.Lion, tapered.ScheduleFreeAdamW,
        )
    },
    "SGD": lambda params: (tapered.SGD(params, lr=RATE, momentum=0.9), None),
    "amsgrad": lambda params: (tapered.Adam(params, lr=RATE, amsgrad=True, weight_decay=0.1), None),
    "TensorFlow's Adam": lambda params: (tensorflow1.AdamOptimizer(params, RATE), None),
    "TensorFlow's RMSProp": lambda params: (tensorflow1.RMSPropOptimizer(params, RATE, 0.9, 0.5, centered=True), None),
    "TensorFlow's Adagrad": lambda params: (tensorflow1.AdagradOptimizer(params, RATE), None),
    "TensorFlow's Adadelta": lambda params: (tensorflow1.AdadeltaOptimizer(params, RATE), None),
    "TensorFlow's momentum": lambda params: (tensorflow1.MomentumOptimizer(params, RATE, 0.9, use_nesterov=True), None),
    "TensorFlow's descent": lambda params: (tensorflow1.GradientDescentOptimizer(params, RATE), None),
    "fused Adam, attached": fused,
}  # fmt: skip
WAYS = ("float32", "bfloat16", "scaler")  # plain; under autocast; with a GradScaler, some steps of which overflow
OVERFLOW = (2, 11, 12, 23)


class Run:
    """A plain script as an object: model, optimizer, loader, and the loss of each step."""

    def __init__(self, model: str, optimizer: str, way: str = "float32") -> None:
        self.way = way
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3, enabled=way == "scaler")
        torch.manual_seed(0)
        self.model = MODELS[model]()
        self.optimizer, self.clock = OPTIMIZERS[optimizer](self.model.parameters())
        generator = torch.Generator().manual_seed(1)
        if model == "transformer":
            inputs = torch.randint(0, 11, (SIZE, 8), generator=generator)
            targets = inputs.roll(-1, 1)
        else:
            inputs = torch.randn(SIZE, *SHAPE[model], generator=generator)
            targets = (inputs.flatten(1).sum(1) > 0).long()
        self.data = TensorDataset(inputs, targets)
        self.losses: list[float] = []

    @property
    def parts(self):
        scaler = {"scaler": self.scaler} if self.way == "scaler" else {}
        return {"model": self.model, "optimizer": self.optimizer, **scaler}

    def train(self, start: int, stop: int, each=lambda _: None) -> None:
        batches = Batches(SIZE, batch_size=8, seed=3, start=start)
        loader = DataLoader(self.data, batch_sampler=batches, generator=torch.Generator())
        for step, (inputs, targets) in zip(range(start, stop), loader, strict=False):
            self.optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.way == "bfloat16"):
                loss = cross_entropy(self.model(inputs), targets.flatten())
            over = float("inf") if self.way == "scaler" and step in OVERFLOW else 1.0
            self.scaler.scale(loss * over).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.losses.append(loss.item())
            each(step + 1)

    def bits(self) -> dict[str, torch.Tensor]:
        found = {f"model {name}": value.clone() for name, value in self.model.state_dict().items()}
        for number, entry in self.optimizer.state_dict()["state"].items():
            found |= {f"state {number} {key}": value.clone() for key, value in entry.items()}
        return found

    def digest(self) -> str:
        """Of all that a next step depends on (weights, moments, rates, scaler, generator), and of the losses."""
        found = hashlib.sha256(repr([sorted(self.scaler.state_dict().items()), self.losses]).encode())
        for group in self.optimizer.param_groups:
            found.update(repr([float(group["lr"]), group.get("step")]).encode())
        for name, value in sorted(self.bits().items()):
            found.update(name.encode() + value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        found.update(torch.get_rng_state().numpy().tobytes())
        return found.hexdigest()


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
