"""What the numbers of a run are called, whoever tells them: `train/loss`, `valid/accuracy`, `lr/0`."""

from collections.abc import Mapping
from typing import Any

from tapered.scripts.current import number

SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "eval": "valid", "test": "test"}


def keyed(values: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by what loggers call them; a name with a "/" in it stays as it is.

    Raises:
        TypeError: one is no number.

    >>> keyed({"loss": 2, "val_loss": 3.0, "eval_accuracy": 0.5, "grad_norm": 1.0, "lr/head": 0.1})
    {'train/loss': 2.0, 'valid/loss': 3.0, 'valid/accuracy': 0.5, 'train/grad_norm': 1.0, 'lr/head': 0.1}
    """
    return {_key(name): number(name, value) for name, value in values.items()}


def _key(name: str) -> str:
    if "/" in name:
        return name
    split, line, rest = name.partition("_")
    return f"{SPLITS[split]}/{rest}" if line and rest and split in SPLITS else f"train/{name}"
