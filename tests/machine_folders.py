"""Histories of a study's and a run's folder: whatever happens to it, the end is the undisturbed one, or it is refused.

A refusal names something that is not as it was at the beginning; put back, the next go ends as the undisturbed one.
"""
# ruff: noqa: FBT001, PT017 - rules are called by hypothesis; a refusal is looked at where it is caught

import os
import re
import shutil
import sys
import tempfile
import warnings
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path
from unittest import mock

import folder_cases
import torch
from filelock import FileLock
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tapered import checkpoint, claimed, kind, modes, settings, single, store
from tapered.checkpoint import CheckpointError
from tapered.ledger import StoreError
from tapered.load import StudyFileError, load
from tapered.study import open_store, train_runs
from tapered.train import LOOP, Mode

REFUSALS = (StoreError, CheckpointError, StudyFileError)
SEEDS = st.integers(0, 2**31)
STUDY = folder_cases.STUDY.replace("seeds = 2", "seeds = 1")
EDITS = {
    "helper.py": ("1.0 *", "3.0 *", r"helper\.py"),
    "lazily.py": ("8", "9", r"lazily\.py|batches|weights"),
    "data.txt": ("0.33", "0.35", "train"),
    "w.py": ("p", "p", r"file"),
    "s.toml": ("0.5*steps).then", "0.7*steps).then", r"study\.arms"),
}


class Stopped(BaseException):
    """The process ended there."""


def dying(updates: int):
    """A callback that stops after so many updates."""
    made = []

    def progress(count: int) -> None:
        made.append(count)
        if sum(made) >= updates:
            raise Stopped

    return progress


class World:
    """A folder, what lies beside it, and what of it is not as it was."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp()).resolve()
        self.place = self.root / "0"
        folder_cases.write(self.place)
        (self.place / "s.toml").write_text(STUDY)
        self.places, self.touched, self.saved = 1, {}, {}
        self.mode, self.kind, self.threads = LOOP, None, 1

    def under(self, stack: ExitStack) -> None:
        """As a new process would begin."""
        folder_cases.forget(self.place)
        stack.callback(os.chdir, Path.cwd())
        os.chdir(self.place)
        stack.callback(setattr, sys, "dont_write_bytecode", sys.dont_write_bytecode)
        sys.dont_write_bytecode = True
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(self.threads)
        stack.enter_context(mock.patch.object(modes, "forecast", return_value=modes.Timed(self.mode, 1e-5)))
        here = kind.here() | ({} if self.kind is None else {"vectors": self.kind})
        stack.enter_context(mock.patch.object(kind, "here", return_value=here))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")

    def study(self, progress=lambda _: None):
        """What `tapered study` would say."""
        with ExitStack() as stack:
            self.under(stack)
            loaded = load("s.toml")
            with open_store(loaded, Path("kept")) as opened:
                return repr([(run.arm, run.peak, run.curve) for run in train_runs(loaded, opened, progress=progress)])

    def run(self, progress=lambda _: None):
        """What `tapered run` would say."""
        with ExitStack() as stack:
            self.under(stack)
            folder = Path("kept")
            stack.callback(checkpoint.release, folder.resolve())
            setting = settings.setting_of("w.py:problem", "Adam", "linear(0.1, steps=steps)", 12, 0)
            if folder.is_dir() and any(folder.glob("*-step*")):
                settings.check_same(folder, setting)
                trained = single.resume(folder, setting.steps)[0]
            else:
                trained = single.Single(setting)
                single.save(trained, folder)
            found = single.train(trained, folder, 3, progress)
            return repr((found, {name: t.tolist() for name, t in trained.rows.params.items()}))

    def move(self, *, copy: bool) -> None:
        """Everything lies elsewhere, by another name."""
        new = self.root / str(self.places)
        shutil.copytree(self.place, new) if copy else self.place.rename(new)
        for path in (new / "kept", self.place / "kept"):
            checkpoint.release(path)
        self.saved = {new / path.relative_to(self.place): data for path, data in self.saved.items()}
        self.place, self.places = new, self.places + 1

    def begun(self) -> bool:
        """What the numbers depend on is written down."""
        kept = self.place / "kept"
        return (kept / "frozen.json").exists() or any(kept.glob("*-step*/manifest.json"))

    def files(self) -> list[Path]:
        """What a study or a run has written, but for locks."""
        every = (self.place / "kept").rglob("*")
        return sorted(path for path in every if path.is_file() and path.name not in ("lock", "owner"))


@lru_cache
def undisturbed(target: str) -> str:
    """What is said where nothing happens."""
    world = World()
    try:
        return getattr(world, target)()
    finally:
        shutil.rmtree(world.root)


class Folders(RuleBasedStateMachine):
    """What happens to a folder, in any order."""

    @initialize(of=st.sampled_from(["study", "run"]))
    def begin(self, of: str) -> None:
        self.target, self.world = of, World()
        self.goes = getattr(self.world, of)
        undisturbed(of)  # before anything is in its way

    def teardown(self) -> None:
        if hasattr(self, "world"):
            shutil.rmtree(self.world.root, ignore_errors=True)

    @rule(updates=st.integers(1, 30))
    def killed(self, updates: int) -> None:
        """It dies somewhere."""
        with suppress(Stopped, *REFUSALS):
            self.goes(dying(updates))

    @rule()
    def goes_on(self) -> None:
        """The same command again: the same end, or the name of what differs."""
        touched = self.world.touched
        try:
            said = self.goes()
        except REFUSALS as error:
            assert touched, error
            assert any(re.search(pattern, str(error)) for pattern in touched.values()), (str(error), touched)
            self.puts_all_back()
            self.ends()
        else:
            assert said == undisturbed(self.target), touched

    def ends(self) -> None:
        assert self.goes() == undisturbed(self.target)

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

    @rule(name=st.sampled_from(sorted(EDITS)))
    def edit(self, name: str) -> None:
        """Study, code and data; a run reads no study."""
        old, new, pattern = EDITS[name]
        path = self.world.place / name
        if (self.target, name) != ("run", "s.toml") and path not in self.world.saved and self.world.begun():
            text = path.read_text()
            self.edits(path, (text.replace(old, new) + "\n" * (old == new)).encode(), pattern)

    @precondition(lambda self: not self.world.touched and self.world.files())
    @rule(seed=SEEDS, gone=st.booleans())
    def damage(self, seed: int, gone: bool) -> None:
        """A bit flips, or a file is gone."""
        files = self.world.files()
        path = files[seed % len(files)]
        data = bytearray(path.read_bytes())
        if data:
            data[seed // 7 % len(data)] ^= 1 << seed % 8
        names = "|".join({path.name, path.parent.name, path.stem.split("-")[0]} - {"kept"})
        self.edits(path, None if gone else bytes(data), names)

    @rule(name=st.sampled_from(["another", "a third"]))
    def another_processor(self, name: str) -> None:
        """The libraries choose other instructions."""
        if self.world.begun():
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

    @rule()
    def in_use(self) -> None:
        """Somebody else works there."""
        folder = self.world.place / "kept"
        if not folder.is_dir():
            return
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

    @rule(writes=st.integers(0, 6), code=st.sampled_from([28, 30]))
    def full(self, writes: int, code: int) -> None:
        """The disk takes so many more files, and then says that it is full, or read-only."""
        left, write, save = [writes], store.write_whole, checkpoint.files.write

        def failing(original):
            def called(*given):
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(code, os.strerror(code))
                return original(*given)

            return called

        with (
            mock.patch.object(store, "write_whole", failing(write)),
            mock.patch.object(claimed, "write_whole", failing(write)),
            mock.patch.object(checkpoint.files, "write", failing(save)),
        ):
            try:
                said = self.goes()
            except REFUSALS as error:
                assert os.strerror(code) in str(error) or self.world.touched, error
            else:
                assert said == undisturbed(self.target)
