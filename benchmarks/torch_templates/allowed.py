"""Where tapered may differ from torch, each with its reason; the suite fails on others, and on one that is no more."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch_templates.judge import Verdict
from torch_templates.template import Run

SEEN = "2.13"  # the torch whose own faults stand here


@dataclass(frozen=True)
class Allowed:
    """Runs that may be refused or different, by what is said, and by where; `*` is any."""

    word: str
    said: str  # a regular expression found in what is said
    reason: str
    template: str = "*"
    optimizer: str = "*"
    input: str = "*"
    way: str = "*"
    variant: str = "*"
    nearer: bool = False  # only where ours is as near to float64's numbers as torch is
    device: str = "*"
    fault: bool = False  # torch's own, which another version of it may have mended

    def __str__(self) -> str:
        return f"{self.word} {self.template} {self.optimizer} {self.way}: {self.said}"

    def expected(self, device: str) -> bool:
        """It must happen in a whole run on this device."""
        return self.device in ("*", device) and (not self.fault or torch.__version__.startswith(SEEN))

    def covers(self, run: Run, verdict: Verdict) -> bool:
        """It speaks of this run."""
        pairs = [(run.template.name, self.template), (run.optimizer, self.optimizer), (run.input, self.input)]
        pairs += [(run.way, self.way), (run.variant, self.variant), (run.device, self.device)]
        return (
            verdict.word == self.word
            and all(fnmatchcase(value, pattern) for value, pattern in pairs)
            and re.search(self.said, verdict.said) is not None
            and (verdict.nearer or not self.nearer)
        )


ONE = "one kernel or rule runs each update here"
LOOKED_AT = r"got (-|nan|inf|0\.0|1\.)\S* for `\w+` in group 0; expected a finite number"

REFUSED = [
    Allowed(
        "refused",
        f"got foreach=True( in group 0)?; {ONE}",
        "There is no foreach here: a kernel over all tensors, or the compiled rule, is as fast; a flag is not ignored.",
    ),
    Allowed(
        "refused",
        f"got differentiable=True( in group 0)?; {ONE}",
        "Updates are made in place by a kernel or a rule; no gradient passes through them.",
    ),
    Allowed(
        "refused",
        f"got capturable=True( in group 0)?; {ONE}",
        "The rate comes from Python at each step, which a captured graph would not run.",
        way="capturable=True",
    ),
    Allowed(
        "refused",
        "torch has no fused kernel for .* that is right",
        "torch's kernel reads such memory as if it were in one piece, or does not train in this dtype; the rule runs.",
        way="fused=True",
    ),
    Allowed(
        "refused",
        r"`params\[1\]` in group 0 .* stands twice",
        "torch warns, and updates such a parameter twice a step.",
    ),
    Allowed(
        "refused",
        "got a set for `params`",
        "Its order changes from run to run, and state is kept by position; torch refuses it in a group alone.",
        template="odd_params",
        variant="a set",
    ),
    Allowed(
        "refused",
        LOOKED_AT,
        "torch looks at the values of arguments alone, and not for infinity; here also at those of groups, and for an "
        "eps of 0, which gives 0 / 0 for a weight without gradients.",
        template="odd_options",
    ),
    Allowed(
        "refused",
        "got nesterov=True with momentum=",
        "torch looks at the values of arguments alone.",
        template="odd_options",
        optimizer="SGD",
        variant="a group",
    ),
    Allowed(
        "refused",
        "the state that was to be loaded was refused",
        "A framework that swallows the refusal of a load would train on with a new state; the next step refuses, too.",
        template="loads_refused",
    ),
    Allowed(
        "refused",
        "is on the meta device and holds no numbers",
        "State is made for weights that have numbers; make the optimizer after to_empty.",
        template="from_meta",
    ),
]

DIFFERENT = [
    Allowed(
        "different",
        "apart of",
        "Rounding, judged against torch's loop in float64: torch is further from it, or as far.",
        nearer=True,
    ),
    Allowed(
        "different",
        "torch refuses, ours goes on: TypeError: params argument given to the optimizer should be an iterable",
        "A lone tensor is a list of it.",
    ),
    Allowed(
        "different",
        "torch refuses, ours goes on: ValueError: betas must be either both floats or both Tensors",
        "Each of them may be a number, a tensor or a schedule here.",
        template="error_inputs",
    ),
    Allowed(
        "different",
        r"\['step', 'sum'\] missing",
        "torch's Adagrad makes its state when it is made; here state is made at a parameter's first update.",
        optimizer="Adagrad",
    ),
    Allowed(
        "different",
        "apart of",
        "torch takes initial_accumulator_value from the arguments alone, not from a group.",
        template="groups_*",
        optimizer="Adagrad",
        input="initial_accumulator_value",
    ),
    Allowed(
        "different",
        "missing",
        "A scaler that skips the first update leaves a state of zeros in torch's fused optimizers, and here none.",
        template="loss_scaling",
        way="fused=True",
    ),
    Allowed(
        "different",
        "weights: ",
        "found_inf is how a GradScaler talks to torch's own fused optimizers; it skips the steps of others itself.",
        template="told_of_infinity",
    ),
    Allowed(
        "different",
        "weights after update 3",
        "A state from before `maximize` is taken to descend by torch; here what the optimizer was made with holds.",
        template="older",
        input="*maximize*",
    ),
    Allowed(
        "different",
        "dtype torch.float32, torch's",
        "torch casts the product of momenta to the weights' dtype when it loads it, and not when it makes it.",
        template="other_dtype",
        optimizer="NAdam",
        fault=True,
    ),
    Allowed(
        "different",
        "kept: torch has False",
        "torch's load shares tensors with the optimizer that they come from; here they are copied.",
        template="isolated",
        fault=True,
    ),
    Allowed(
        "different",
        "torch refuses, ours goes on: KeyError: 'momentum_buffer'",
        "torch's RMSprop dies where a momentum is written into a group that began without.",
        template="group_written",
        optimizer="RMSprop",
        fault=True,
    ),
    Allowed(
        "different",
        "torch refuses, ours goes on: TypeError: expected Tensor as element",
        "torch's fused SGD dies where some of the parameters have no buffer yet.",
        optimizer="SGD",
        way="fused=True",
        fault=True,
    ),
]
ALLOWED = [*REFUSED, *DIFFERENT]
