"""A folder of a study, a run or a script, as processes find it that come one after another; and how they are killed."""

import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from itertools import count
from pathlib import Path
from unittest import mock

import folder_cases
import torch
from saving import MEMORY
from study_cases import planned

from tapered import AdamW, checkpoint, kind, linear
from tapered.checkpoint import CheckpointError
from tapered.files.errors import StoreError
from tapered.run import setting as settings
from tapered.run import single
from tapered.study import open_store, train_runs
from tapered.study.train import grow
from tapered.training import modes
from tapered.training.advance import LOOP
from tapered.workloads.own import StudyFileError

REFUSALS = (StoreError, CheckpointError, StudyFileError)
STUDY = folder_cases.STUDY.replace("seeds = 2", "seeds = 1")
TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree"}
DIED, SECONDS = 9, 60


def alive(left: Iterator[int]) -> None:
    """One of so many updates; after the last the process ends, and nothing in it is told."""
    if next(left, None) is None:
        os._exit(DIED)


def counted(calls: int) -> Callable[[str, tuple], None]:
    """A hook that ends the process before it touches the folder once more."""
    left = iter(range(calls))

    def hook(event: str, given: tuple) -> None:
        if event in TOUCHES and given and "kept" in str(given[0]):
            alive(left)

    return hook


def halved(writes: int) -> Callable[[int, bytes], int]:
    """`os.write`, of which so many are made, and of the next one a half before the process ends."""
    left, write = iter(range(writes)), os.write

    def writing(handle: int, data: bytes) -> int:
        if next(left, None) is None:
            write(handle, data[: len(data) // 2])
            os._exit(DIED)
        return write(handle, data)

    return writing


class World:
    """A folder, what lies beside it, and what of it is not as it was."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(dir=MEMORY)).resolve()
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
        stack.enter_context(mock.patch.multiple(grow, SAVE_SECONDS=0.0, FORK_SECONDS=0.0))  # a study is kept on its way
        here = kind.here() | ({} if self.kind is None else {"vectors": self.kind})
        stack.enter_context(mock.patch.object(kind, "here", return_value=here))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")

    def study(self, progress=lambda _: None):
        """What `tapered study` would say."""
        with ExitStack() as stack:
            self.under(stack)
            loaded = planned("s.toml")
            with open_store(loaded, Path("kept")) as opened:
                return repr([(run.arm, run.peak, run.curve) for run in train_runs(loaded, opened, progress=progress)])

    def run(self, progress=lambda _: None):
        """What `tapered run` would say."""
        with ExitStack() as stack:
            self.under(stack)
            folder = Path("kept")
            stack.callback(checkpoint.release, folder.resolve())
            setting = settings.setting_of("w.py:problem", "Adam", "linear(0.1, steps=steps)", 12, 0)
            if settings.begun(folder):
                settings.check_same(folder, setting)
                trained = single.resume(folder, setting.steps)[0]
            else:
                trained = single.Single(setting)
                single.save(trained, folder)
            found = single.train(trained, folder, 3, progress)
            return repr((found, {name: t.tolist() for name, t in trained.rows.params.items()}))

    def script(self, progress=lambda _: None):
        """What a plain loop says that saves its model and its optimizer with the library."""
        with ExitStack() as stack:
            self.under(stack)
            stack.callback(torch.set_rng_state, torch.get_rng_state())
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))
            parts = {"model": model, "optimizer": AdamW(model.parameters(), lr=linear(0.1, steps=12))}
            folder = Path("kept")
            stack.callback(checkpoint.release, folder.resolve())
            begun = checkpoint.resume(folder, **parts).step if any(folder.glob("[0-9]*-step*")) else 0
            for step in range(begun + 1, 13):
                parts["optimizer"].zero_grad()
                model(torch.tensor([[1.0, step], [0.5, -2.0]])).square().mean().backward()
                parts["optimizer"].step()
                if step % 3 == 0:
                    checkpoint.save(folder, step, **parts)
                progress(step)
            return repr({name: t.tolist() for name, t in model.state_dict().items()})

    def killed(
        self, target: str, *, updates: int | None = None, calls: int | None = None, writes: int | None = None
    ) -> bool:
        """Whether another process dies after so many updates, touches of the folder, or amid a write."""
        left = count() if updates is None else iter(range(updates))
        child = os.fork()
        if not child:
            signal.alarm(SECONDS)
            self.threads = 1  # of the others none is left after a fork
            if calls is not None:
                sys.addaudithook(counted(calls))
            if writes is not None:
                os.write = halved(writes)
            try:
                getattr(self, target)(lambda _: alive(left))
            except REFUSALS:
                os._exit(0)
            except BaseException:  # noqa: BLE001 - it must not go on as the test, whatever happens
                (self.root / "error").write_text(traceback.format_exc())
                os._exit(1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, DIED), (self.root / "error").read_text() if code == 1 else code
        return code == DIED

    def move(self, *, copy: bool) -> None:
        """Everything lies elsewhere, by another name."""
        new = self.root / str(self.places)
        shutil.copytree(self.place, new) if copy else self.place.rename(new)
        for path in (new / "kept", self.place / "kept"):
            checkpoint.release(path)
        self.saved = {new / path.relative_to(self.place): data for path, data in self.saved.items()}
        self.place, self.places = new, self.places + 1

    def forget_damage(self) -> None:
        """What was damaged in the folder is whole again, or is needed no longer."""
        kept = self.place / "kept"
        gone = {path for path in self.saved if kept in path.parents}
        self.saved = {path: data for path, data in self.saved.items() if path not in gone}
        self.touched = {name: pattern for name, pattern in self.touched.items() if Path(name) not in gone}

    def begun(self) -> bool:
        """Something was trained, whose numbers depend on what lies beside it."""
        kept = self.place / "kept"
        return any(kept.glob("runs/*.json")) or any(kept.glob("[0-9]*-step*"))

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
