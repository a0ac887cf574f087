"""`tapered study`: run a study, or go on with it."""

from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.finish import finish
from tapered.cli.given import Given
from tapered.cli.script import checked, first_file, script_plan
from tapered.cli.show import paragraphs, tell
from tapered.cli.terminal import DONE, FAILED, INTERRUPTED, Flag, Json, console, print_json, table

NOTHING = Given()


def study(
    file: str | None = None,
    /,
    *,
    given: Given = NOTHING,
    check: Flag = False,
    no_prune: Flag = False,
    quick: Flag = False,
    from_script: Path | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Run a study, or go on with it, and print its verdict.

    Args:
        file: A built-in study's name (bmi) or a TOML file.
        given: Options that `tune` has too.
        check: Start the study's script a few times for a few updates, and say what may be claimed and shared.
        no_prune: Train every run to its end, and say whether pruning would have chosen the same.
        quick: Run the smaller study that the file's [quick] table states.
        from_script: Write a first study of this script into FILE, by what its --help says, for you to correct.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    if from_script is not None:
        return first_file(from_script, file, as_json=as_json)
    if file is None:
        raise ValueError("FILE is missing: a built-in study's name, or a TOML file; try tapered study bmi")
    stated = given.read(file, whole=no_prune, quick=quick)
    flags = [flag for flag, asked in (("--no-prune", no_prune), ("--quick", quick)) if asked]
    command = given.command("study", file, *flags)
    if check:
        return checked(stated, command, given.store, as_json=as_json)
    return run(stated, command, given, as_json=as_json)


def run(stated: Any, command: str, given: Given, *, as_json: bool) -> int:
    """Run a study that was read, and print its verdict; or its plan.

    Args:
        stated: The study.
        command: What to type for this.
        given: Where its results are kept, whether it is planned alone, whether a sample is trained again.
        as_json: Print one JSON object.
    """
    from tapered.study import default_folder, plan_of  # noqa: PLC0415 - torch takes a second

    planned = plan_of(stated)
    folder = given.store or default_folder(planned)
    if given.plan:
        return _forecast(planned, folder, as_json=as_json)
    found = finish(planned, command, folder, verify=given.verify, log_to=given.log_to)
    return INTERRUPTED if found is None else _tell(*found, folder, as_json=as_json)


def _forecast(planned: Any, folder: Path, *, as_json: bool) -> int:
    from tapered.study import summary  # noqa: PLC0415 - as above
    from tapered.study.plan.forecast import forecast, may_add  # noqa: PLC0415 - as above
    from tapered.study.train.choose import workers_of  # noqa: PLC0415 - as above

    study = planned.study
    if study.script is not None:
        return script_plan(planned, folder, as_json=as_json)
    found = forecast(planned, workers_of(planned))
    later = may_add(study)
    if as_json:
        seeds = {"comparisons": study.comparisons, "seeds_needed": study.needed, "fresh": len(study.fresh_seeds)}
        asked = summary.asked_fields(study) | {"pairs": [list(pair) for pair in study.pairs]}
        print_json(asked | summary.forecast_fields(found) | {"may_add": later, **seeds, "lacks": study.lacks})
        return DONE
    out = console(stderr=False)
    paragraphs(summary.asked_lines(study))
    out.print(table(summary.forecast_rows(found), header=False))
    workers = summary.workers_line(found)
    for line in (*summary.cost_lines(found.cost), *([workers] if workers else [])):
        out.print(Text(f"- {line}"))
    for line in (summary.follow_line(found), *map(str, found.groups), summary.pairs_line(study), *later, study.lacks):
        if line is not None:
            out.print(Text(f"- {line}"))
    return DONE


def _tell(concluded: Any, verified: Any, page: Path | None, folder: Path, *, as_json: bool) -> int:
    from tapered.study import summary  # noqa: PLC0415 - as above

    if as_json:
        facts = summary.summary(concluded) | {"folder": str(folder), "page": page and str(page)}
        print_json(facts | ({} if verified is None else {"verified": summary.verified_fields(verified)}))
    else:
        _show(concluded, page, verified)
    return DONE if verified is None or verified.same else FAILED


def _show(concluded: Any, page: Path | None, verified: Any) -> None:
    """The question, the verdict, what it rests on, the arms, what to bear in mind, where the page is."""
    from tapered.study import summary  # noqa: PLC0415 - as above
    from tapered.study.summary.kept import Shown  # noqa: PLC0415 - as above

    out = console(stderr=False)
    tell(Shown.of(concluded))
    if verified is not None:
        out.print(Text(f"- {summary.verified_line(verified)}"))
    if page is not None:
        out.print(Text(f"Page: {page}"), soft_wrap=True)
