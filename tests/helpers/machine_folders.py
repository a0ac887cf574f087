"""Histories of the folder of a study, a run or a script: the end is the undisturbed one, or it is refused.

A refusal names something that is not as it was at the beginning; put back, the next go ends as the undisturbed one.
"""
# ruff: noqa: FBT001, PT017 - rules are called by hypothesis; a refusal is looked at where it is caught

import os
import random
import re
import shutil
from collections import Counter
from pathlib import Path
from unittest import mock

from filelock import FileLock
from folder_world import REFUSALS, World, undisturbed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tapered import checkpoint
from tapered.training.advance import LOOP, Mode

SEEDS = st.integers(0, 2**31)
EDITS = {
    "helper.py": ("1.0 *", "3.0 *", r"helper\.py"),
    "lazily.py": ("8", "9", r"lazily\.py|batches|weights"),
    "data.txt": ("0.33", "0.35", "train"),
    "w.py": ("p", "p", r"file|w\.py"),
    "s.toml": ("0.5*steps).then", "0.7*steps).then", r"study\.arms"),
}


READ = {"study": set(EDITS), "run": set(EDITS) - {"s.toml"}, "script": set()}
TALLY: Counter[str] = Counter()


class Folders(RuleBasedStateMachine):
    """What happens to a folder, in any order."""

    @initialize(of=st.sampled_from(["study", "run", "script"]))
    def begin(self, of: str) -> None:
        self.target, self.world = of, World()
        self.goes = getattr(self.world, of)
        undisturbed(of)  # before anything is in its way

    def teardown(self) -> None:
        """Every history ends with the same command once more."""
        if hasattr(self, "world"):
            try:
                self.goes_on()
            finally:
                shutil.rmtree(self.world.root, ignore_errors=True)

    @rule(updates=st.integers(0, 24))
    def killed(self, updates: int) -> None:
        """It dies after an update."""
        TALLY["killed in training"] += self.world.killed(self.target, updates=updates)

    @rule(calls=st.integers(0, 90))
    def killed_in_a_call(self, calls: int) -> None:
        """It dies where it reads, writes, renames or deletes something."""
        TALLY["killed in a call"] += self.world.killed(self.target, calls=calls)

    @rule(writes=st.integers(0, 30))
    def killed_in_a_write(self, writes: int) -> None:
        """It dies when half of a file is written."""
        TALLY["killed in a write"] += self.world.killed(self.target, writes=writes)

    @rule()
    def goes_on(self) -> None:
        """The same command again: the same end, or the name of what differs."""
        touched = self.world.touched
        try:
            said = self.goes()
        except REFUSALS as error:
            assert touched, error
            assert any(re.search(pattern, str(error)) for pattern in touched.values()), (str(error), touched)
            TALLY["refused"] += 1
            self.puts_all_back()
            self.ends()
        else:
            assert said == undisturbed(self.target), touched
            assert list(touched) != ["kind"], "it went on under another kind of processor, which is only simulated here"
            TALLY["the same"] += 1
            self.world.forget_damage()

    def ends(self) -> None:
        assert self.goes() == undisturbed(self.target)

    @precondition(lambda self: self.world.touched)
    @rule()
    def puts_all_back(self) -> None:
        """Whatever differs is as it was."""
        world = self.world
        for path, data in world.saved.items():
            if path.parent.is_dir():  # a checkpoint that has gone in its turn stays away
                path.write_bytes(data)
        world.kind, world.saved, world.touched = None, {}, {}

    def edits(self, path: Path, data: bytes | None, pattern: str) -> None:
        """A file is another, or gone."""
        if path not in self.world.saved:
            self.world.saved[path] = path.read_bytes()
        path.write_bytes(data) if data is not None else path.unlink()
        self.world.touched[str(path)] = pattern

    @precondition(lambda self: self.world.begun() and READ[self.target])
    @rule(name=st.sampled_from(sorted(EDITS)))
    def edit(self, name: str) -> None:
        """Study, code and data; a run reads no study."""
        old, new, pattern = EDITS[name]
        path = self.world.place / name
        if name in READ[self.target] and path not in self.world.saved:
            text = path.read_text()
            self.edits(path, (text.replace(old, new) + "\n" * (old == new)).encode(), pattern)

    @precondition(lambda self: self.world.files() and not self.world.touched)
    @rule(seed=SEEDS, gone=st.integers(0, 3).map(lambda n: n == 0))
    def damage(self, seed: int, gone: bool) -> None:
        """A bit flips, or a file is gone."""
        self.damages(self.world.files(), random.Random(seed), gone=gone)

    @precondition(lambda self: not self.world.touched)
    @rule(updates=st.integers(1, 20), seed=SEEDS)
    def damaged_rows(self, updates: int, seed: int) -> None:
        """It dies in training, and a bit flips in the tensors that it is to go on from."""
        TALLY["killed in training"] += self.world.killed(self.target, updates=updates)
        rows = [path for path in self.world.files() if path.suffix == ".safetensors"]
        if rows:
            self.damages(rows, random.Random(seed))

    def damages(self, files: list[Path], any_of: random.Random, *, gone: bool = False) -> None:
        """A file of these is another, or gone."""
        by_kind: dict[str, list[Path]] = {}  # of which there may be many, or one
        for found in files:
            by_kind.setdefault(found.suffix, []).append(found)
        path = any_of.choice(by_kind[any_of.choice(sorted(by_kind))])
        data = bytearray(path.read_bytes())
        if data:
            data[any_of.randrange(len(data))] ^= 1 << any_of.randrange(8)
        TALLY["damaged"] += 1
        names = "|".join({path.name, path.parent.name, path.stem.split("-")[0]} - {"kept"})
        self.edits(path, None if gone else bytes(data), names)

    @precondition(lambda self: self.world.begun())
    @rule(name=st.sampled_from(["another", "a third"]))
    def another_processor(self, name: str) -> None:
        """The libraries choose other instructions."""
        self.world.kind = name
        self.world.touched["kind"] = "vectors .* then, a"

    @rule(mode=st.sampled_from([LOOP, Mode("rows", 8, "another day")]), threads=st.integers(1, 2))
    def another_day(self, mode: Mode, threads: int) -> None:
        """Timing finds another mode faster, and torch has other threads: a begun study keeps its own."""
        kept = (self.world.place / "kept" / "modes.json").exists()
        self.world.mode = mode if kept else LOOP
        self.world.threads = threads if self.target == "study" else 1

    @rule(copy=st.booleans())
    def elsewhere(self, copy: bool) -> None:
        self.world.move(copy=copy)

    @precondition(lambda self: (self.world.place / "kept").is_dir())
    @rule()
    def in_use(self) -> None:
        """Somebody else works there."""
        folder = self.world.place / "kept"
        checkpoint.release(folder)
        with FileLock(folder / "lock", is_singleton=False):
            before = {path: path.read_bytes() for path in self.world.files()}
            try:
                self.goes()
            except REFUSALS as error:
                assert "in use" in str(error) or self.world.touched, error
            else:
                raise AssertionError("two processes work in one folder")
            assert before == {path: path.read_bytes() for path in self.world.files()}

    @rule(writes=st.integers(0, 40), code=st.sampled_from([28, 30]))
    def full(self, writes: int, code: int) -> None:
        """The disk takes so many more files, and then says that it is full, or read-only."""
        left, sync = [writes], os.fsync

        def failing(handle: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(code, os.strerror(code))
            sync(handle)

        with mock.patch.object(os, "fsync", failing):
            try:
                said = self.goes()
            except REFUSALS as error:
                assert os.strerror(code) in str(error) or self.world.touched, error
                TALLY["no room"] += 1
            else:
                assert said == undisturbed(self.target)
