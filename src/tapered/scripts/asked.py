"""What one run of a script is asked: `run.json` and `rates.f64` of its folder, written whole, believed once checked.

Asked(...).write(folder, rates) ─► run.json, rates.f64 ─► Asked.read(folder) ─► (Asked, rates)

A process that is to read only what is asked loads neither numpy nor torch: a script may set what they read when they
load.
"""

import json
import math
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from sys import byteorder
from typing import TYPE_CHECKING, Any, Literal, get_args

from tapered.files.whole import replace
from tapered.scripts.errors import ScriptError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rates = NDArray[np.float64]

SCHEMA = 1
FACTS, TABLE = "run.json", "rates.f64"
MOST = 1 << 20  # bytes of run.json; a longer one was not written here
Rate = Literal["see", "set", "off"]


@dataclass(frozen=True)
class Parent:
    """Whose checkpoint a run goes on from.

    Args:
        key: that run's.
        step: the checkpoint's.
    """

    key: str
    step: int

    def __post_init__(self) -> None:
        _text(self.key, "parent.key")
        _whole(self.step, "parent.step", 0)


@dataclass(frozen=True)
class Asked:
    """What a run is asked.

    Args:
        arm: what is compared, by name.
        seed: everything random is to follow it.
        steps: updates of the whole run, over which its rate is laid out.
        until: the step at which it is to end now; below `steps` it is gone on with later.
        peak: the largest rate of its arm's schedule; None where it has none.
        rate: "see": the script applies it and is watched; "set": it is written before each update; "off": neither.
        optimizer: whose rate, where a script has several: its place in the order of their first steps, or the name of
            its class. None: the one with the most numbers.
        save_at: steps after which a checkpoint is wanted.
        parent: whose checkpoint it begins with.

    Raises:
        ScriptError: a field out of its range.

    Example:
        >>> Asked("cosine", seed=0, steps=100, until=100, peak=0.1).rate
        'see'
    """

    arm: str
    seed: int
    steps: int
    until: int
    peak: float | None = None
    rate: Rate = "see"
    optimizer: int | str | None = None
    save_at: tuple[int, ...] = ()
    parent: Parent | None = None

    def __post_init__(self) -> None:
        _text(self.arm, "arm")
        _whole(self.seed, "seed", 0)
        _whole(self.steps, "steps", 1)
        _whole(self.until, "until", 1, self.steps)
        _expect(self.rate in get_args(Rate), "rate", self.rate, '"see", "set" or "off"')
        if self.peak is not None:
            real = isinstance(self.peak, (int, float)) and not isinstance(self.peak, bool) and math.isfinite(self.peak)
            _expect(real, "peak", self.peak, "a finite number, or None")
        if isinstance(self.optimizer, str):
            _text(self.optimizer, "optimizer")
        elif self.optimizer is not None:
            _whole(self.optimizer, "optimizer", 0)
        _expect(isinstance(self.save_at, tuple), "save_at", self.save_at, "a tuple of steps")
        for step in self.save_at:
            _whole(step, "save_at", 1, self.steps)
        _expect(isinstance(self.parent, Parent | None), "parent", self.parent, "a Parent, or None")

    @property
    def start(self) -> int:
        """The step at which it begins: that of its parent's checkpoint, or 0."""
        return 0 if self.parent is None else self.parent.step

    def write(self, folder: Path, rates: "Sequence[float] | Rates") -> None:
        """Write both files, each whole; `run.json`, by which a folder is known, last.

        Args:
            folder: the run's; it is there.
            rates: the rate of each update, `steps` of them.

        Raises:
            ScriptError: not as many rates, or one that is not finite.
            OSError: the disk does not take it; what was there stands.
        """
        table = array("d", rates)
        _check(table, self.steps, "rates")
        fields = {"schema": SCHEMA, **asdict(self)}
        replace(folder / TABLE, _little(table).tobytes())
        replace(folder / FACTS, json.dumps(fields, allow_nan=False, indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> "tuple[Asked, Rates]":
        """What is asked, and the rate of each update, float64.

        Raises:
            ScriptError: a file is missing, cut, of another version, or not what `write` writes.
        """
        import numpy as np  # noqa: PLC0415  # see above

        asked, table = cls.read_light(folder)
        return asked, np.array(table, dtype=np.float64)

    @classmethod
    def read_light(cls, folder: Path) -> "tuple[Asked, array[float]]":
        """The same, without numpy.

        Raises:
            ScriptError: as `read`.
        """
        path = folder / FACTS
        try:
            asked = cls._of(json.loads(_bytes(path, MOST)))
        except ScriptError as error:
            raise ScriptError(f"{path}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise ScriptError(f"{path} is no JSON ({error}); it was not written by tapered, or it is damaged") from None
        path, size = folder / TABLE, 8 * asked.steps
        data = _bytes(path, size)
        if len(data) != size:
            raise ScriptError(f"{path} holds {len(data)} bytes; expected {size}, 8 for each of {asked.steps} updates")
        table = _little(array("d", data))
        _check(table, asked.steps, str(path))
        return asked, table

    @classmethod
    def _of(cls, fields: Any) -> "Asked":
        """What JSON holds, checked.

        Raises:
            ScriptError: it is no run's.
        """
        _expect(isinstance(fields, dict), "the file", fields, "a table of fields")
        schema = fields.pop("schema", None)
        _expect(schema == SCHEMA and type(schema) is int, "schema", schema, f"{SCHEMA}, which this version reads")
        known = {*cls.__dataclass_fields__}
        if fields.keys() != known:
            raise ScriptError(f"has the fields {sorted(fields)}; expected {sorted(known)}")
        save_at, parent = fields["save_at"], fields["parent"]
        _expect(isinstance(save_at, list), "save_at", save_at, "a list of steps")
        if parent is not None:
            _expect(isinstance(parent, dict) and parent.keys() == {"key", "step"}, "parent", parent, "key and step")
            parent = Parent(**parent)
        return cls(**{**fields, "save_at": tuple(save_at), "parent": parent})


def _bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        why = error.strerror or error
        raise ScriptError(f"{path} cannot be read ({why}); expected the folder of a run that tapered started") from None


def _little(table: "array[float]") -> "array[float]":
    if byteorder == "big":
        table.byteswap()
    return table


def _check(table: "array[float]", steps: int, name: str) -> None:
    if len(table) != steps:
        raise ScriptError(f"got {len(table)} numbers for {name}; expected one for each of {steps} updates")
    for update, rate in enumerate(table):
        if not math.isfinite(rate):
            raise ScriptError(f"{name} holds {rate} for update {update}; expected finite numbers")


def _expect(right: bool, name: str, value: Any, expected: str) -> None:  # noqa: FBT001
    if not right:
        raise ScriptError(f"got {value!r:.80} for `{name}`; expected {expected}")


def _text(value: Any, name: str) -> None:
    _expect(isinstance(value, str) and value != "", name, value, "a text")


def _whole(value: Any, name: str, least: int, most: int | None = None) -> None:
    right = isinstance(value, int) and not isinstance(value, bool) and value >= least
    bounds = f"{least} or more" if most is None else f"from {least} to {most}"
    _expect(right and (most is None or value <= most), name, value, f"a whole number, {bounds}")
