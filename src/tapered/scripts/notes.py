"""What the witness could not see, or saw beside the rate, in sentences.

witness.jsonl ─► unseen(folder): caveats of a result        hints(folder): what may explain a rate that is not as asked
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tapered.scripts.lines import whole
from tapered.scripts.noting import APPLIED, FACTS
from tapered.words import counted


def facts(folder: Path) -> list[dict[str, Any]]:
    """Everything that is no rate, as it came; a line that is none is left out."""
    return [fact for fact in map(_read, whole(folder / FACTS)) if isinstance(fact, dict)]


def unseen(folder: Path) -> list[str]:
    """What a result should say beside the rates."""
    found = facts(folder)
    return list(dict.fromkeys([*_optimizers(found), *_processes(found), *_momentum(found)]))


def wrong(folder: Path, rate: str) -> str:
    """Why a rate that was to be set is not that of the whole run; "" where it is, or where it was only to be seen.

    Processes that train together at different rates are no run.
    """
    found = [*_processes(facts(folder))] if rate == "set" else []
    return f"{found[0]}, nor set; let each call tapered.current_run(), or start them by torchrun" if found else ""


def hints(folder: Path) -> list[str]:
    """Why the rates may not be as asked, and what to change in the script."""
    found = facts(folder)
    said = [
        f"when the run was started again {_name(fact, 'uncounted')} had no count of its updates, and was taken to have "
        f"made {fact.get('taken')!s:.20}; save and load the optimizer's state, or call current_run().started(step)"
        for fact in found
        if "uncounted" in fact
    ]
    if not (folder / APPLIED).exists():
        said += _nothing(found)
    return list(dict.fromkeys(said))


def _nothing(found: list[dict[str, Any]]) -> Iterator[str]:
    names = [_name(fact, "optimizer") for fact in found if "optimizer" in fact]
    if any("child" in fact for fact in found):
        yield "updates were made in processes that the script started; let each call tapered.current_run()"
    elif names:
        yield f"none of {', '.join(names)} made the updates that are studied; name the optimizer that does"
    else:
        yield "no torch optimizer made a step"


def _optimizers(found: list[dict[str, Any]]) -> Iterator[str]:
    studied = {_name(fact, "optimizer") for fact in [f for f in found if f.get("studied") is True][-1:]}
    others = {_name(fact, "optimizer") for fact in found if fact.get("studied") is False and fact.get("rated") is True}
    rateless = {_name(fact, "optimizer") for fact in found if fact.get("rated") is False}
    if studied and others:
        also = {f"another {name}" if name in studied else name for name in others}
        yield f"only the rate of {_and(studied)} was studied; {_and(also)} made updates at rates of the script's own"
    if rateless:
        yield f"{_and(rateless)} has no rate in its groups, so none was seen"


def _processes(found: list[dict[str, Any]]) -> Iterator[str]:
    sizes = [fact["of"] for fact in found if isinstance(fact.get("of"), int)]
    ranks = {fact["rank"] for fact in found if isinstance(fact.get("rank"), int)}
    absent = max(sizes, default=1) - len(ranks)
    if ranks and absent > 0:
        yield f"the rate of {counted(absent, 'process')} of {max(sizes)} was not seen"
    if ranks and any("child" in fact for fact in found):
        yield "updates were also made in processes that were forked, where nothing was seen"


def _momentum(found: list[dict[str, Any]]) -> Iterator[str]:
    if any("momentum" in fact for fact in found):
        yield "the script's own scheduler also changes momentum, which was left to it; only the rate was set"


def _name(fact: dict[str, Any], key: str) -> str:
    return str(fact.get(key))[:80]


def _and(names: set[str]) -> str:
    return " and ".join(sorted(names))


def _read(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
