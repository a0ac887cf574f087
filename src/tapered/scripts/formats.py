"""Files that scripts write their numbers to, as rows: (step, {name: value}), or None for a line that is none."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count as numbers
from pathlib import Path
from typing import Any

from tapered.scripts.errors import ScriptError
from tapered.scripts.lines import whole

Row = tuple[int, Mapping[str, float]]
STEPS = ("step", "global_step", "update", "updates", "iteration", "iter", "_step", "steps", "num_updates", "it")
CLOCKS = ("_runtime", "_per_second", "total_flos", "epoch")  # endings of what Trainer tells that is no result


@dataclass(frozen=True)
class Count:
    """What counts updates in a row.

    Args:
        name: of the field; None: the first of the usual names.
        more: what is added to it.
    """

    name: str | None = None
    more: int = 0

    @classmethod
    def of(cls, text: str | None) -> "Count":
        """What `iter`, or `iter+1`, says; None for the usual names.

        Raises:
            ScriptError: it is empty.
        """
        if text is None:
            return cls()
        found = re.fullmatch(r"(.*?\S)\s*(?:\+\s*(\d{1,9}))?", text.strip())
        if found is None:
            raise ScriptError(f'got {text!r} for the step of metrics; expected the name of what counts; try "iter"')
        return cls(found[1], int(found[2] or 0))

    def field(self, names: Any) -> str | None:
        """Which of these names it is."""
        if self.name is not None:
            return self.name if self.name in names else None
        usual = {str(name).strip().lower(): name for name in names}
        return next((usual[name] for name in STEPS if name in usual), None)

    def row(self, fields: Mapping[str, Any]) -> Row | None:
        """A row of named values; what is no number is left out."""
        own = self.field(fields)
        step = _number(fields[own]) if own is not None else None
        if step is None or not step.is_integer() or step < 0:
            return None
        values = {str(name).strip(): _number(value) for name, value in fields.items() if name != own}
        return int(step) + self.more, {name: value for name, value in values.items() if value is not None}


def json_lines(path: Path, count: Count) -> Iterator[Row | None]:
    """An object a line; what is nested in one is left out."""
    for line in whole(path):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        yield count.row(found) if isinstance(found, dict) else None


def table(path: Path, count: Count) -> Iterator[Row | None]:
    """Columns with names in the first line; empty cells are left out, and a header that comes again.

    Raises:
        ScriptError: no column counts updates.
    """
    lines = whole(path)
    first = next(lines, None)
    if first is None:
        return
    dialect = csv.excel_tab if first.count("\t") > first.count(",") else csv.excel
    header = _cells(first.lstrip("\ufeff\ufffd"), dialect)
    if count.field(header) is None:
        asked = "one of the usual names of a step" if count.name is None else repr(count.name)
        raise ScriptError(
            f"{path} has the columns {', '.join(header):.200}; expected {asked} among them; name the one that counts "
            "updates, or write a line of names first"
        )
    for line in lines:
        cells = _cells(line, dialect)
        if cells and cells != header:
            yield count.row(dict(zip(header, cells, strict=False))) if len(cells) <= len(header) else None


def _cells(line: str, dialect: type[csv.Dialect]) -> list[str]:
    return next(csv.reader(io.StringIO(line), dialect), [])


def histories(out: Path, count: Count) -> Iterator[Row | None]:
    """What Trainer kept with its checkpoints, the earliest first, so that a longer history counts."""
    found = sorted([*out.glob("trainer_state.json"), *out.glob("**/checkpoint-*/trainer_state.json")], key=_saved)
    seen: set[str] = set()
    for path in found:
        try:
            history = json.loads(path.read_bytes()).get("log_history", [])
        except (ValueError, OSError, AttributeError, RecursionError):
            continue  # half-written: an earlier one stands
        for entry in history if isinstance(history, list) else []:
            text = json.dumps(entry, sort_keys=True)
            if isinstance(entry, dict) and text not in seen:  # each checkpoint tells all of it again
                seen.add(text)
                yield count.row({name: value for name, value in entry.items() if not name.endswith(CLOCKS)})


def _saved(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("checkpoint-")
    return (int(number), str(path)) if number.isdigit() else (1 << 62, str(path))


def events(folder: Path, count: Count) -> Iterator[Row | None]:
    """TensorBoard's scalars, also those of folders below, whose names then lead.

    Raises:
        ScriptError: TensorBoard is not installed.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415
        from tensorboard.util import tensor_util  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ScriptError("TensorBoard's files are read by TensorBoard: pip install tensorboard") from None
    for place in sorted({path.parent for path in folder.glob("**/*tfevents*")}):
        lead = "" if place == folder else f"{place.relative_to(folder).as_posix()}/"
        held = EventAccumulator(str(place), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False)
        held.Reload()
        tags = held.Tags()
        for tag in tags["scalars"]:
            for event in held.Scalars(tag):
                yield event.step + count.more, {f"{lead}{tag}": event.value}
        for tag in tags["tensors"]:
            for event in held.Tensors(tag):
                array = tensor_util.make_ndarray(event.tensor_proto)
                if array.size == 1 and array.dtype.kind in "fiu":
                    yield event.step + count.more, {f"{lead}{tag}": float(array.item())}


@dataclass(frozen=True)
class Printed:
    """What a script prints, by a pattern with named groups.

    Args:
        pattern: searched in each line.
        count: the group that counts.
    """

    pattern: re.Pattern[str]
    count: Count

    @classmethod
    def of(cls, text: str, count: Count) -> "Printed":
        """Raises ScriptError: it is no pattern, or lacks groups."""
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise ScriptError(f"got {text!r:.80} for metrics, which is no regular expression: {error}") from None
        if count.field(pattern.groupindex) is None or len(pattern.groupindex) < 2:
            name = count.name or "step"
            raise ScriptError(
                f"got {text!r:.80} for metrics; expected a group that counts, (?P<{name}>...), and one for each number"
            )
        return cls(pattern, count)

    def rows(self, folder: Path) -> Iterator[Row | None]:
        """Of every start, in turn."""
        for start in numbers(1):
            paths = [path for path in (folder / f"{start}.out", folder / f"{start}.err") if path.exists()]
            if not paths:
                return
            for path in paths:
                with path.open(errors="replace") as file:  # a bar of progress ends its lines otherwise
                    for line in file:
                        if line.endswith("\n"):
                            for found in self.pattern.finditer(line):
                                yield self.count.row({k: v for k, v in found.groupdict().items() if v is not None})


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
