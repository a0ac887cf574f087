"""A rule that follows a loss as lines of code for a framework: its own scheduler where that is exact, else ours.

rule, the call that makes the optimizer ─► following(to, ...) ─► lines of Python
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from tapered.schedules import Controller, plateau


@dataclass(frozen=True)
class Told:
    """What a rule is told: in words, and the name of the number."""

    text: str = "the loss at each evaluation"
    name: str = "loss"

    def __str__(self) -> str:
        return self.text


def following(to: str, rule: Controller, optimizer: str, head: Sequence[str], told: Told) -> list[str]:
    """Lines that train at a rule's rate.

    Args:
        to: The framework: tapered, torch, transformers or lightning.
        rule: The rule, at its peak.
        optimizer: The call that makes the optimizer, with a place for what has the parameters and one for the rate.
        head: What the call needs imported.
        told: What the rule is told.
    """
    if to == "tapered" or _needs_ours(rule):
        return _ours(to, rule, optimizer, head, told)
    made, scheduler = f"torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer{_arguments(rule)})", repr(rule.initial)
    lines = [*dict.fromkeys(["import torch", *head]), ""]
    if to == "torch":
        made_by = optimizer.format("model", scheduler)
        return [
            *lines,
            f"optimizer = {made_by}",
            f"scheduler = {made}",
            f"# tell it {told}: scheduler.step({told.name})",
        ]
    if to == "transformers":
        given = {of.name: getattr(rule, of.name) for of in _said(rule)}
        asked = {
            "lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": given, "eval_strategy": "epoch",
            "metric_for_best_model": told.name, "greater_is_better": rule.mode == "max",
        }  # fmt: skip
        return [
            *head,
            "",
            f"optimizer = {optimizer.format('model', scheduler)}",
            f"rule = {asked!r}  # TrainingArguments(folder, **rule): it is told {told}",
            "given = {'optimizers': (optimizer, None)}  # Trainer(model, arguments, **given)",
        ]
    return [
        *lines,
        "",
        "def configure_optimizers(self):  # of the LightningModule",
        f"    optimizer = {optimizer.format('self', scheduler)}",
        f"    scheduler = {made}",
        f"    rule = {{'scheduler': scheduler, 'monitor': 'val_{told.name}'}}  # as it logs {told}",
        "    return {'optimizer': optimizer, 'lr_scheduler': rule}",
    ]


def _needs_ours(rule: Controller) -> bool:
    """Whether torch's ReduceLROnPlateau is another: it has no warmup, and never raises."""
    return not isinstance(rule, plateau) or rule.head is not None


def _said(rule: Controller) -> list[Any]:
    """The fields that torch's arguments are, where they are not its defaults."""
    own = [of for of in fields(rule) if of.name not in ("initial", "head", "state")]
    return [of for of in own if getattr(rule, of.name) != of.default]


def _arguments(rule: Controller) -> str:
    return "".join(f", {of.name}={getattr(rule, of.name)!r}" for of in _said(rule))


def names_of(rule: Controller) -> list[str]:
    """The names in the text of a rule, which are to be imported."""
    nodes = ast.walk(ast.parse(str(rule), mode="eval"))
    return sorted({node.id for node in nodes if isinstance(node, ast.Name)})


def _ours(to: str, rule: Controller, optimizer: str, head: Sequence[str], told: Told) -> list[str]:
    """With tapered's own rule."""
    lines = [*head, f"from tapered.schedules import {', '.join(names_of(rule))}"]
    if to == "torch":
        lines.insert(len(lines) - 1, "from tapered.attach import attach")
        made = [f"optimizer = {optimizer.format('model', '0.0')}", f"clock = attach(optimizer, lr={rule})"]
        return [*lines, "", *made, f"# tell it {told}: clock.observe({told.name})"]
    if to == "tapered":
        return [
            *lines,
            "",
            f"optimizer = {optimizer.format('model', rule)}",
            f"# tell it {told}: optimizer.observe({told.name})",
        ]
    if to == "transformers":
        lines.insert(len(lines) - 1, "from tapered.attach import as_lr_scheduler")
        return [
            *lines,
            "from transformers import TrainerCallback",
            "",
            f"optimizer = {optimizer.format('model', rule)}",
            "",
            "",
            "class Tell(TrainerCallback):",
            "    def on_evaluate(self, args, state, control, metrics, **kwargs):",
            f"        optimizer.observe(metrics['eval_{told.name}'])  # {told}",
            "",
            "",
            "rates = (optimizer, as_lr_scheduler(optimizer))",
            "given = {'optimizers': rates, 'callbacks': [Tell()]}  # Trainer(model, arguments, **given)",
        ]
    return [
        *lines,
        "",
        "",
        "def configure_optimizers(self):  # of the LightningModule",
        f"    return {optimizer.format('self', rule)}",
        "",
        "",
        "def on_validation_epoch_end(self):  # of the LightningModule",
        "    if not self.trainer.sanity_checking:",
        f"        self.optimizers().optimizer.observe(self.trainer.callback_metrics['val_{told.name}'])  # {told}",
    ]


def keras_callback(rule: Controller, told: Told) -> str:
    """Keras's own callback.

    Raises:
        ValueError: It decides otherwise, and how.
    """
    unlike = [] if isinstance(rule, plateau) else [f"{type(rule).__name__}, which it has not"]
    if isinstance(rule, plateau):
        unlike += ["a warmup before it"] * (rule.head is not None)
        unlike += ['threshold_mode = "rel"'] * (rule.threshold_mode == "rel" and rule.threshold != 0)
        unlike += [f"eps = {rule.eps!r}"] * (rule.eps != 0)
        cooldown = rule.cooldown + 1 if rule.cooldown else 0
        given = {
            "monitor": f"val_{told.name}", "factor": rule.factor, "patience": rule.patience + 1, "mode": rule.mode,
            "min_delta": rule.threshold, "cooldown": cooldown, "min_lr": rule.min_lr,
        }  # fmt: skip
    if unlike:
        raise ValueError(
            f"keras's ReduceLROnPlateau decides otherwise than {rule}: {', '.join(unlike)}; try --to tapered, or a "
            f'study with plateau(..., threshold_mode="abs", eps=0.0)'
        )
    return f"keras.callbacks.ReduceLROnPlateau({', '.join(f'{name}={value!r}' for name, value in given.items())})"
