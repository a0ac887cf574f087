"""How a step of `tapered run` is made, as its options say."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from tapered.cli.terminal import Words


@Parameter(name="*")
@dataclass(frozen=True)
class Stepped:
    """Fields of a recipe, each an option of the command; what is not said is the workload's own.

    Args:
        clip_norm: The largest norm of the whole gradient.
        clip_value: The largest size of an element of the gradient.
        accumulate: Minibatches that make one step.
        group: Parameters with hypers of their own, as '*.bias,*norm*: weight_decay=0' or 'encoder.*: lr=0.1', which
            multiplies their rate; may be given again.
        layer_decay: What the rate is multiplied by from layer to layer, from the head down.
        precision: What forward and loss are computed in, by autocast.
        params: bfloat16 for parameters of that type.
        compile: Compile the model by torch.compile.
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate: int | None = None
    group: Words = ()
    layer_decay: float | None = None
    precision: Literal["float32", "bfloat16", "float16"] | None = None
    params: Literal["bfloat16"] | None = None
    compile: Annotated[bool | None, Parameter(negative="")] = None

    @property
    def fields(self) -> dict[str, Any]:
        """As a run's setting takes them.

        >>> Stepped(clip_norm=1.0, group=("*.bias: weight_decay=0",)).fields
        {'clip_norm': 1.0, 'groups': [{'match': ['*.bias'], 'lr': 1.0, 'weight_decay': 0.0}]}
        """
        from tapered.study.file.typed import steps_of  # noqa: PLC0415 - torch takes a second that --help need not wait

        given = asdict(self)
        return steps_of(given.pop("group"), **given)
