"""A study that nothing disturbs is trained once, for all tests that compare with it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import postgres as postgres_here
import pytest
from study_cases import finished, read, trained_as

from tapered.study.result import StudyResult
from tapered.study.store.runs import Run


@dataclass(frozen=True)
class Undisturbed:
    """Its runs and verdict, the updates that were made, and its folder."""

    runs: list[Run]
    result: StudyResult
    updates: int
    folder: Path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    @cache
    def trained(text, mode):
        folder, made = tmp_path_factory.mktemp("undisturbed"), []
        with pytest.MonkeyPatch.context() as patch:
            trained_as(patch, mode)
            runs, result = finished(read(folder, text), folder / "s", progress=made.append)
        return Undisturbed(runs, result, sum(made), folder / "s")

    return trained


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of the tests' own; they are skipped where none is installed."""
    found = postgres_here.programs()
    if found is None:
        pytest.skip(postgres_here.INSTALL)
    with postgres_here.Postgres(found) as server:
        yield server
