"""What pydantic finds wrong in a study file, each as a sentence: the field, what is wrong, what to try.

ValidationError ─► findings, those that follow from another left out ─► "clip_norm: got -1.0; expected ...; try ..."
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tapered.study.file.arms import Arm
from tapered.study.file.executor import Executor
from tapered.study.file.following import Observed
from tapered.study.file.ledger import FORM, Ledger
from tapered.study.file.peaks import Peaks
from tapered.study.file.recipe import Parameters, Steps
from tapered.study.file.rules import RULES
from tapered.study.file.script import Script
from tapered.study.file.space import Range, names_in
from tapered.study.file.study import Prune, Study, Tune
from tapered.training.workload import Workload
from tapered.words import suggest

PARTS: Mapping[Any, type[Any]] = {
    "groups": Parameters,
    "arms": Arm,
    "peaks": Peaks,
    "prune": Prune,
    "tune": Tune,
    "space": Range,
    "executor": Executor,
    "script": Script,
    "ledger": Ledger,
    "observes": Observed,
}
HYPERS = sorted({name for rule in RULES.values() for name in rule().hypers})
STOPS = {"stop", "early_stop", "early_stopping", "patience"}
KNOWN_AS = {  # what others call a field -> it
    "ema": "average",
    "swa": "average",
    "amp": "precision",
    "autocast": "precision",
    "dtype": "precision",
    "bf16": "precision",
    "fp16": "precision",
    "grad_clip": "clip_norm",
    "gradient_clip": "clip_norm",
    "max_grad_norm": "clip_norm",
    "gradient_accumulation_steps": "accumulate",
    "param_groups": "groups",
    "gpu": "device",
    "cuda": "device",
}
SHOWN = 80  # letters of a value
EXAMPLES = {
    "clip_norm": "1.0",
    "clip_value": "0.5",
    "accumulate": "4",
    "groups": '[{ match = "*.bias", weight_decay = 0.0 }]',
    "match": '["*.bias", "*norm*"]',
    "layer_decay": "0.75",
    "precision": '"bfloat16"',
    "params": '"bfloat16"',
    "compile": "true",
    "device": '"auto"',
    "workers": "2",
    "every": "50",
    "average": '{ kind = "ema", decay = 0.999 }',
    "resets": "[0.5]",
    "space": "{ share = { low = 0.1, high = 0.6 } }",
    "peaks": "{ low = 1e-3, high = 1e-1, count = 5 }",
    "prune": "{ rungs = [0.25] }",
    "tune": "{ trials = 16 }",
    "hypers": "{ weight_decay = 0.1 }",
    "options": "{ amsgrad = true }",
    "against": '"constant"',
    "question": '"Does a cosine beat a constant rate here?"',
    "claim": '"a cosine beats a constant rate"',
    "criterion": '"cosine against constant helps on fresh seeds"',
    "known": '"nothing with seeds"',
    "lr": '"cosine_decay(decay_steps=steps)"',
    "observes": '"loss", or { metric = "train/loss", every = 50 }',
    "steps": "2000",
    "epochs": "10",
    "seeds": "8",
    "executor": '{ workers = "cores" }',
    "lease": "600",
    "command": '"python train.py --lr {peak} --seed {seed} --max-steps {steps} --out {out}"',
    "script": '{ command = "python train.py --lr {peak} --seed {seed} --max-steps {steps} --out {out}" }',
    "ledger": f'{{ url = "{FORM}" }}',
    "url": f'"{FORM}"',
}
# pydantic's kind of finding -> what it expects
EXPECTED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "float_type": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "bool_type": lambda _: "true or false",
    "string_type": lambda _: "a text",
    "tuple_type": lambda _: "a list",
    "dict_type": lambda _: "a table",
    "model_type": lambda _: "a table",
    "string_too_short": lambda _: "a text that is not empty",
    "string_too_long": lambda limit: f"a text of at most {limit['max_length']} letters",
    "too_short": lambda limit: f"at least {limit['min_length']} of them",
    "greater_than": lambda limit: f"a number above {limit['gt']:g}",
    "greater_than_equal": lambda limit: f"a number of at least {limit['ge']:g}",
    "less_than": lambda limit: f"a number below {limit['lt']:g}",
    "less_than_equal": lambda limit: f"a number of at most {limit['le']:g}",
    "literal_error": lambda limit: str(limit["expected"]).replace("'", '"'),
}


def explained(error: ValidationError) -> list[str]:
    """Each of pydantic's findings as one sentence of ours."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for item in error.errors():
        found.setdefault(_place(item["loc"]), []).append(item)
    # a list whose members are refused is said to have too few of them
    causes = [place for place in found if not any(place == other[: len(place)] for other in found if other != place)]
    return [_explain(place, found[place]) for place in causes]


def _place(loc: tuple[Any, ...]) -> tuple[Any, ...]:
    """Where a finding is, without the kind of value that one of several was tried as."""
    return loc[:-1] if loc and loc[-1] in {"float", "str", "bool", "constrained-float", "constrained-str"} else loc


def _explain(place: tuple[Any, ...], items: Sequence[Any]) -> str:
    item, where = items[0], ".".join(str(part) for part in place)
    name = next((str(part) for part in reversed(place) if not isinstance(part, int)), "")
    if item["type"] == "extra_forbidden":
        return _unknown(where, place)
    fix = _fix(place, name)
    if item["type"] == "missing":
        return f"{where} is missing{fix}"
    if place and place[0] == "ledger":  # what was given may have a password in it
        wanted = f"expected {EXPECTED[item['type']]({})}{fix}" if item["type"] in EXPECTED else item["msg"]
        return f"{where}: {wanted.removeprefix('Value error, ')}"
    if place and names_in(item["input"]) and isinstance(item["input"], str):
        why = ", which all arms share" if place[0] in Steps.model_fields else ""
        return (
            f"{where} = {item['input']!r} stands for a number that is searched, and only the lr, hypers, resets and "
            f"average of an arm are, not {where}{why}; try a number, and a study for each"
        )
    wanted = [EXPECTED[each["type"]](each.get("ctx", {})) for each in items if each["type"] in EXPECTED]
    if wanted:
        return f"{where}: got {_shown(item['input'])}; expected {' or '.join(dict.fromkeys(wanted))}{fix}"
    message, given = item["msg"].removeprefix("Value error, "), f"{item['input']!r}"
    # a finding of ours names its value, one of the whole study or an arm as well
    told = "" if isinstance(item["input"], dict) or given in message else f" (got {given:.80})"
    return f"{where}: {message}{told}" if where else message


def _shown(value: Any) -> str:
    """A value as the file has it, not more of it than fits into a line."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _unknown(where: str, place: Sequence[Any]) -> str:
    """A field that there is not: another's name, or one that stands elsewhere."""
    name = str(place[-1])
    if len(place) == 1 or place[0] == "arms":
        if name in STOPS:
            return (
                f"{where} would end runs early, each at its own step, and arms of unequal budgets cannot be compared; "
                f"leave it out, and see in the curves where a run was best; prune = {{ rungs = [0.25] }} spares runs"
            )
        if (there := _elsewhere(name, of_arm=len(place) > 1)) is not None:
            return f"{where}: {there}"
    model = next((PARTS[part] for part in reversed(place[:-1]) if part in PARTS), Study)
    return f"{where} is no field of a study; {suggest(name, model.model_fields)}"


def _elsewhere(name: str, *, of_arm: bool) -> str | None:
    """Where a field is written that does not stand where it was: above the arms, in one, or in the workload."""
    known, said = KNOWN_AS.get(name, name), None
    if of_arm and known in Steps.model_fields:
        said = (
            f"how a step is made is the same for all arms, so that they differ by what they are compared by; "
            f"state {known} once, above the arms, or a study for each"
        )
    elif of_arm and known in Study.model_fields:
        said = f"it is a field of the study; state {known} above the arms"
    elif of_arm and known in HYPERS:
        said = f"it is one of the rule's hypers; try hypers = {{ {known} = 0.1 }}"
    elif not of_arm and known in Arm.model_fields:
        said = f"it is a field of an arm; state it below [[arms]], {known} = {EXAMPLES.get(known, '...')}"
    elif known != name:
        said = f"it is written {known} = {EXAMPLES[known]}"
    elif name in Workload.__dataclass_fields__:
        said = f"it is a field of the workload; state it there, Workload(..., {name}=...)"
    return said


def _fix(place: Sequence[Any], name: str) -> str:
    """What to write, where that is known: one of the same field."""
    if place and place[0] == "groups" and name not in ("groups", "match"):
        known = name == "lr" or name in HYPERS
        return (
            f"; try {name} = 0.1" if known else f"; a group has match, lr and hypers of the rule: {', '.join(HYPERS)}"
        )
    return f"; try {name} = {EXAMPLES[name]}" if name in EXAMPLES else ""
