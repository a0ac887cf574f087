"""Where a study's runs are trained: in one process, in several, on a cluster. No number of theirs depends on it."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from tapered.study.file.fields import Positive, Strict


def _workers(given: object) -> object:
    if given in ("cores", "gpus") or (type(given) is int and 1 <= given <= 4096):
        return given
    raise ValueError(f'got {given!r}; expected a number from 1 to 4096, "cores" or "gpus"')


Workers = Annotated[int | Literal["cores", "gpus"], BeforeValidator(_workers)]


class Executor(Strict):
    """What trains a study's runs.

    ``kind`` is "here", this process; "processes" of this machine; "ray", workers on a cluster; or "auto", processes
    where several are asked for and spare more time than they take to begin. ``workers`` is how many there are at most:
    a number, as many as there are "cores" for the study's threads, or "gpus". ``address`` is a Ray cluster's, "auto"
    for the one of this machine, "local" for one of its own. ``lease`` is for how many seconds a worker may say nothing,
    before it counts as hung and is replaced: longer than an evaluation, or a compilation, takes.
    """

    kind: Literal["auto", "here", "processes", "ray"] = "auto"
    workers: Workers | None = None
    address: str | None = None
    lease: Positive = 600.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.address is not None and self.kind != "ray":
            raise ValueError(f'address={self.address!r} is a Ray cluster\'s; try kind = "ray", or leave it out')
        if self.kind == "here" and self.workers not in (None, 1):
            raise ValueError(f'workers={self.workers!r} train in processes; try kind = "processes", or "auto"')
        return self
