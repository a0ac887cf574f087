"""Names that other frameworks give their schedules, as far as a message needs them."""

import re

# (name, framework, what to give `tapered convert` of it)
FRAMEWORKS = (
    (r"get_\w*schedule\w*", "transformers", "cosine --lr 3e-4 --warmup 100 --steps 1000"),
    (r"[A-Z]\w*LRScheduler", "timm", '"{}(...)" --lr 0.1'),
    (r"[A-Z]\w*(LR|OnPlateau|WarmRestarts)|ChainedScheduler", "torch", '"{}(...)"'),
    (r"[A-Z]\w*Decay\w*", "keras", "CONFIG.json"),
    (r"[a-z]\w*_schedule", "optax", '"{}(...)"'),
)


def hint(name: str) -> str:
    """What to type where a name is another framework's, else nothing.

    >>> hint("CosineAnnealingLR")
    '; torch has it: try tapered convert torch "CosineAnnealingLR(...)"'
    >>> hint("cosine_deca")
    ''
    """
    for pattern, framework, given in FRAMEWORKS:
        if re.fullmatch(pattern, name):
            return f"; {framework} has it: try tapered convert {framework} {given.format(name)}"
    return ""
