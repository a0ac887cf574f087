"""`tapered claims`: what was found of each claim, or the claims measured again."""

import time
from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.finish import PAGE, finish
from tapered.cli.terminal import DONE, INTERRUPTED, Flag, Json, console, print_json, retype, table


def claims(
    *questions: str,
    run: Flag = False,
    quick: Flag = False,
    store: Path | None = None,
    keep: Path | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Show what was found of each claim of the question; or measure it again.

    Args:
        questions: Claims (Q5 Q8); all of them by default.
        run: Measure now, instead of showing the results that came with tapered.
        quick: The small form of every study: seconds instead of minutes.
        store: Folder that gets a folder for each study; by default studies.
        keep: JSON file that gets the results, beside those of other claims in it.
        as_json: Print one JSON object, with one object a claim.
        debug: Show a traceback when something fails.
    """
    from tapered.claims import CLAIMS  # noqa: PLC0415 - torch takes a second that --help need not wait
    from tapered.claims.kept import keep as write  # noqa: PLC0415
    from tapered.claims.kept import kept, shown  # noqa: PLC0415

    _check(run=run, quick=quick, store=store, keep=keep)
    asked = _asked(questions, CLAIMS)
    if run:
        found = _measured(asked, store or Path("studies"), quick=quick)
        if found is None:
            return INTERRUPTED
    else:
        found = shown(asked, kept())
    if keep is not None:
        write(keep, found, [claim.question for claim in CLAIMS])
    if as_json:
        print_json({"claims": found})
    else:
        _show(found)
    return DONE


def _check(*, run: bool, quick: bool, store: Path | None, keep: Path | None) -> None:
    given = [name for name, value in (("quick", quick), ("store", store), ("keep", keep)) if value]
    if given and not run:
        raise ValueError(f"got --{given[0]} without --run; nothing is measured; try tapered claims --run --{given[0]}")
    if keep is not None and quick:
        raise ValueError("got --keep with --quick; results that are kept are those of the full studies; leave one out")


def _asked(questions: tuple[str, ...], known: Any) -> list[Any]:
    """The claims of these numbers, in their own order; all where none is given."""
    names = [claim.question for claim in known]
    for question in questions:
        if question not in names:
            raise ValueError(f"got {question!r}; expected one of {', '.join(names)}")
    return [claim for claim in known if not questions or claim.question in questions]


def _measured(asked: list[Any], root: Path, *, quick: bool) -> list[dict[str, Any]] | None:
    """The results of claims, each of their studies run once; None where one was interrupted."""
    from tapered.claims.kept import entry  # noqa: PLC0415 - as above
    from tapered.training.threads import threads  # noqa: PLC0415

    known: dict[str, Any] = {}
    found = []
    for claim in asked:
        begun = time.monotonic()
        for name in claim.studies:
            known[name] = known.get(name) or _study(name, root, quick=quick)
            if known[name] is None:
                return None
        studies = {name: known[name] for name in claim.studies}
        with threads(1):
            answer = claim.judge({name: part.summary for name, part in studies.items()})
        found.append(entry(claim, answer, studies, quick=quick, seconds=time.monotonic() - begun))
        console(stderr=True).print(f"{claim.question}: {answer.word}, {found[-1]['seconds']:g} s")
    return found


def _study(name: str, root: Path, *, quick: bool) -> Any:
    """A study's result and folder; None where it was interrupted."""
    from tapered.claims.kept import Measured  # noqa: PLC0415 - as above
    from tapered.study import default_folder, plan_of, read  # noqa: PLC0415 - as above
    from tapered.study.summary import summary  # noqa: PLC0415 - as above

    planned = plan_of(read(name, quick=quick))
    folder = default_folder(planned, root)
    finished = finish(planned, retype("study", name, *(["--quick"] if quick else []), store=folder), folder)
    return None if finished is None else Measured(summary(finished[0]), folder)


def _show(found: list[dict[str, Any]]) -> None:
    """What was said and what was found, claim by claim, and where the pages are."""
    out = console(stderr=False)
    rows = [("claim", "found", "what was said, and what was measured")]
    for part in found:
        rows.append((part["question"], part["word"] or "not run", part["said"]))
        if part["word"]:
            rows.append(("", "", part["why"]))
    out.print(table(rows, words=True))
    for part in {study["folder"]: study for e in found for study in e.get("studies", ())}.values():
        if (page := Path(part["folder"]) / PAGE).exists():
            out.print(Text(f"Page: {page}"), soft_wrap=True)
