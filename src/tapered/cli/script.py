"""What `tapered study` does of scripts alone: checks one, plans its runs, writes a first file for it."""

from contextlib import closing
from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.run import said
from tapered.cli.terminal import DONE, FAILED, INTERRUPTED, Interrupt, console, print_json, table, write

MARKS = {True: "yes", False: "NO", None: "?"}


def checked(stated: Any, command: str, store: Path | None, *, as_json: bool) -> int:
    """Start a study's script a few times, and say what may be claimed and shared; exit code 1 where nothing may.

    Args:
        stated: The study.
        command: What to type to run it.
        store: Folder for the results; None for its own.
        as_json: Print one JSON object.
    """
    from dataclasses import asdict  # noqa: PLC0415 - as in study

    from tapered.study import default_folder, open_store, plan_of  # noqa: PLC0415 - as in study
    from tapered.study.script.check import check  # noqa: PLC0415 - as in study
    from tapered.study.script.places import slots_of  # noqa: PLC0415 - as in study
    from tapered.workloads.own import StudyFileError  # noqa: PLC0415 - as in study

    planned = plan_of(stated)
    if planned.study.script is None:
        raise StudyFileError("--check starts a script a few times, and this is a study of a workload; try without it")
    errors, folder = console(stderr=True), store or default_folder(planned)
    with (
        said(errors),
        open_store(planned, folder) as opened,
        closing(slots_of(planned.study, planned.study.script)) as slots,
        Interrupt(errors) as interrupt,
    ):
        found = check(
            planned,
            stated.subject,
            opened,
            slots,
            lambda line: errors.print(Text(line), soft_wrap=True),
            lambda: interrupt.asked,
        )
    if found is None:
        return INTERRUPTED
    if as_json:
        print_json(asdict(found) | {"exact": found.exact, "good": found.good, "folder": str(folder)})
        return DONE if found.good else FAILED
    for finding in found.findings:
        write(f"{MARKS[finding.good]:>3}  {finding.name}: {finding.text}")
        if finding.fix and finding.good is not True:
            write(f"     to change: {finding.fix}")
    write("")
    write(found.sentence)
    if found.good:
        write(f"Next: {command}")
    return DONE if found.good else FAILED


def script_plan(planned: Any, folder: Path, *, as_json: bool) -> int:
    """Print what a study of a script will take; nothing is started."""
    from tapered.study.plan.forecast import may_add  # noqa: PLC0415 - as in study
    from tapered.study.script.forecast import script_forecast  # noqa: PLC0415 - as in study

    found, study = script_forecast(planned, folder), planned.study
    later = may_add(study)
    if as_json:
        seeds = {"comparisons": study.comparisons, "seeds_needed": study.needed, "fresh": len(study.fresh_seeds)}
        print_json(found.fields | {"may_add": later, **seeds, "lacks": study.lacks})
        return DONE
    out = console(stderr=False)
    out.print(table(found.rows, header=False))
    for line in (*found.lines, *later, *([study.lacks] if study.lacks else [])):
        out.print(Text(f"- {line}"))
    return DONE


def first_file(script: Path, file: str | None, *, as_json: bool) -> int:
    """Write a first study file for a script.

    Args:
        script: The script.
        file: Where to; by default beside the script, with its name.
        as_json: Print one JSON object.
    """
    from tapered.study.script.first import first_study  # noqa: PLC0415 - as in study
    from tapered.workloads.own import StudyFileError  # noqa: PLC0415 - as in study

    path = script.with_suffix(".toml") if file is None else Path(file)
    if path.suffix != ".toml":
        raise StudyFileError(f"{path} is no study file; expected a path that ends in .toml")
    found = first_study(script, path)
    try:
        with path.open("x") as opened:
            opened.write(found.text)
    except FileExistsError:
        raise StudyFileError(f"{path} exists already, and is not written over; give another path") from None
    except OSError as error:
        raise StudyFileError(f"{path} cannot be written ({error.strerror}); give another path") from error
    if as_json:
        print_json({"file": str(path), "open": list(found.open)})
        return DONE
    write(f"Written: {path}")
    for line in found.open:
        write(f"- {line}")
    write(f"Look at it, then: tapered study {path} --check")
    return DONE
