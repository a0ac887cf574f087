"""Executors: a study gives the same bits wherever its bundles train, and whatever ends its workers."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import study_cases
import torch
from study_cases import arm_text

from tapered.files.errors import StoreError
from tapered.files.wire import Message
from tapered.study import open_store, train_runs
from tapered.study.file.executor import Executor as Asked
from tapered.study.plan.cells import forest_of
from tapered.study.plan.facts import frozen_facts
from tapered.study.store.runs import Bundle
from tapered.study.store.text import bundle_from_text, pack, rows_to_tensors
from tapered.study.train import choose, grow, pool, processes, task, worker
from tapered.study.train.executor import Here
from tapered.study.train.grow import RunError
from tapered.study.train.processes import Processes
from tapered.study.train.task import Work
from tapered.workloads.own import StudyFileError

HEAD = """
name = "executors"
workload = "bmi"
steps = {steps}
seeds = 3
evaluations = 4
extend = 0
fresh = 2
mode = "{mode}"
baseline = "constant"
peaks = {{ low = 0.01, high = 0.1, count = 2 }}
"""
ARMS = arm_text("constant", rule="Adam") + arm_text("late", "hold(0.5*steps).then(cooldown(0.5*steps))", "Adam")
OWN = """
import os, signal, time, traceback
from pathlib import Path

import torch
from torch import nn

from torch.utils.data import TensorDataset

from tapered.training.workload import Workload

HERE = Path(__file__).parent
DRIVER = {driver}


def trains_in_a_worker():
    return os.getpid() != DRIVER and any(frame.name == "grow" for frame in traceback.extract_stack())


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        {forward}
        return self.linear(x)


def problem():
    x = torch.linspace(-1, 1, 96).view(32, 3)
    data = TensorDataset(x, x.sum(1, keepdim=True))
    return Workload(
        name="own", model=Model, loss=nn.functional.mse_loss, train=data, valid=data,
        batch_size=8,
    )
"""


QUIET = {"capture_output": True, "text": True}


def stated(folder, mode="loop", steps=24, more="", arms=ARMS, workload=None):
    text = HEAD.format(mode=mode, steps=steps)
    text = text if workload is None else text.replace('"bmi"', f'"{workload}"')
    return study_cases.read(folder, text + more + arms)


def asking(found, **said):
    """A study that asks to be trained so."""
    return found.having(found.study.model_copy(update={"executor": Asked(**said)}))


def own(folder, forward="pass", mode="loop", **options):
    """A study of a model of one's own, in a file beside it."""
    (folder / "mine.py").write_text(OWN.format(forward=forward, driver=os.getpid()))
    return stated(folder, mode, workload="mine.py:problem", **options)


def trained(found, folder, executor, **options):
    """The runs as text, and their end states."""
    with open_store(found, folder) as store:
        runs = train_runs(found, store, executor=executor, **options)
        return {run.key: repr(run) for run in runs}, ends(found, store)


def ends(found, store):
    rule, states = found.study.arms[0].build(), {}
    for bundle in store.bundles():
        rows = store.rows(bundle, rule) if bundle.live else None
        for place, branch in enumerate(bundle.live):
            states |= dict.fromkeys(branch.keys, rows_to_tensors(rows.take([place])))
    return states


def same(one, other):
    return (
        one[0] == other[0]
        and one[1].keys() == other[1].keys()
        and all(torch.equal(t, other[1][key][name]) for key, row in one[1].items() for name, t in row.items())
    )


def left_over():
    """Processes of this one that live still."""
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], check=False, **QUIET)
    others = "defunct", "ps -o", "resource_tracker"
    return [line for line in listed.stdout.splitlines() if not any(other in line for other in others)]


@pytest.fixture(params=["forked", "begun"])
def way(request, monkeypatch):
    """Workers are forks of this process, or begin from nothing; and they are who trains."""
    monkeypatch.setattr(processes, "Here", None)
    if request.param == "begun":
        monkeypatch.setattr(processes, "forkable", lambda planned: False)  # noqa: ARG005
    return request.param


@pytest.mark.parametrize("mode", ["loop", "rows"])
@pytest.mark.usefixtures("way")
def test_processes_give_the_bits_of_one(tmp_path, mode):
    found = stated(tmp_path, mode)
    here = trained(found, tmp_path / "here", Here())
    assert len(here[0]) == len(here[1]) == 3 * 2 * 2 + 2 * 2
    assert same(trained(found, tmp_path / "two", Processes(2, always=True)), here)
    assert left_over() == []


READ = """class Read(torch.utils.data.Subset):
    def __init__(self, of):
        super().__init__(of, range(32))


class Model"""


@pytest.mark.parametrize(
    ("data", "rest", "more", "forks"),
    [
        ("data", "", "", True),
        ("Read(data)", "", "", False),  # as from an open file, at whose place all would read
        ("data", "", "threads = 2\n", False),
        ("data", "recipe=tapered.Recipe(workers=1),", "", False),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no worker is a fork")
def test_workers_are_forks_where_nothing_is_shared_that_should_not_be(tmp_path, data, rest, more, forks):
    own(tmp_path)
    mine = tmp_path / "mine.py"
    text = "import tapered\n" + mine.read_text().replace("class Model", READ, 1)
    mine.write_text(text.replace("valid=data,", f"valid={data}, {rest}"))
    assert processes.forkable(stated(tmp_path, workload="mine.py:problem", more=more)) == forks


def test_a_worker_finds_what_the_driver_finds(tmp_path, monkeypatch):
    """A module that lies where only this program looks, by a path that starts where it works."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "found_by_path.py").write_text("SCALE = 3.0\n")
    (tmp_path / "scale.txt").write_text("2.0")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "forkable", lambda planned: False)  # noqa: ARG005
    forward = "import found_by_path\n        x = x * found_by_path.SCALE * float(Path('scale.txt').read_text())"
    found = own(tmp_path, forward, steps=4)
    assert same(trained(found, tmp_path / "two", Processes(1, always=True)), trained(found, tmp_path / "here", Here()))


PRUNED = "prune = { rungs = [0.5], keep = 0.5, probe = 0.25 }\n"


def test_probes_and_pruned_runs_train_in_processes(tmp_path):
    found = stated(tmp_path, "rows", more=PRUNED)
    here = trained(found, tmp_path / "here", Here())
    assert "pruned=12" in str(here[0])
    assert same(trained(found, tmp_path / "two", Processes(2, always=True)), here)


def test_trials_of_a_search_train_in_processes(tmp_path):
    found = stated(tmp_path, more='tune = { trials = 4, batch = 2, sampler = "random" }\n')
    here = trained(found, tmp_path / "here", Here())
    assert same(trained(found, tmp_path / "two", Processes(2, always=True)), here)


def test_what_one_executor_began_another_goes_on_with(tmp_path):
    found, made = stated(tmp_path, "rows"), []
    here = trained(found, tmp_path / "here", Here())
    executors = [Here(), Processes(1, always=True), Processes(2, always=True), Processes(3, always=True), Here()]
    for most, executor in zip((40, 60, 50, 30, 10**9), executors, strict=True):
        made.clear()
        with open_store(found, tmp_path / "mixed") as store:
            train_runs(found, store, executor=executor, progress=made.append, stop=lambda n=most: sum(made) >= n)
    assert same(trained(found, tmp_path / "mixed", Here()), here)


KILLS = """marker = HERE / "killed"
        if not marker.exists() and trains_in_a_worker():
            marker.touch()
            {end}"""


@pytest.mark.parametrize(
    ("end", "lease"), [("os.kill(os.getpid(), signal.SIGKILL)", 600.0), ("os.kill(os.getpid(), signal.SIGSTOP)", 2.0)]
)
@pytest.mark.usefixtures("way")
def test_a_worker_that_is_killed_or_hangs_is_replaced(tmp_path, end, lease):
    found = own(tmp_path, KILLS.format(end=end))
    made, all_made = [], []
    lost = trained(found, tmp_path / "lost", Processes(2, always=True, lease=lease), progress=made.append)
    assert (tmp_path / "killed").exists()
    assert same(trained(found, tmp_path / "here", Here(), progress=all_made.append), lost)
    assert sum(made) == sum(all_made)  # what was lost is taken back
    assert left_over() == []


OPEN = """if trains_in_a_worker():
            links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink() and path.exists()]
            held = [str(link) for link in links if link.is_relative_to(HERE / "runs")]
            (HERE / "held").write_text(str(held))"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no worker is a fork")
def test_a_fork_holds_nothing_of_the_study_open_wherever_its_folder_is_seen(tmp_path):
    """Else the lock of a driver that was killed would last as long as a worker that hangs."""
    (tmp_path / "real").mkdir()
    (tmp_path / "seen").symlink_to(tmp_path / "real")
    found = own(tmp_path / "real", OPEN)
    trained(found, tmp_path / "seen" / "runs", Processes(1, always=True))
    assert (tmp_path / "real" / "held").read_text() == "[]"


@pytest.mark.usefixtures("way")
def test_a_bundle_that_kills_whoever_trains_it_is_named(tmp_path):
    found = own(tmp_path, "if trains_in_a_worker(): os._exit(7)")
    with (
        open_store(found, tmp_path / "runs") as store,
        pytest.raises(RunError, match=r"arm 'constant', peak .* three workers .* ended with exit code 7"),
    ):
        train_runs(found, store, executor=Processes(2, always=True))
    assert left_over() == []


def test_a_model_that_raises_in_a_worker_is_said_as_here(tmp_path):
    found = own(tmp_path, 'if self.training: raise OSError("no such plug")')
    said = []
    for name, executor in (("here", Here()), ("two", Processes(2, always=True))):
        with open_store(found, tmp_path / name) as store, pytest.raises(RunError) as raised:
            train_runs(found, store, executor=executor)
        said.append(str(raised.value))
    assert "OSError" in said[0]
    assert "no such plug" in said[1]
    assert said[0].split(",")[0] == said[1].split(",")[0]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("raise OSError('no such disk')", r"workload='mine.py:problem': .+ raised OSError: no such disk"),
        ("sys.exit(3)", r"workload='mine.py:problem': .+ called sys.exit\(3\)"),
    ],
)
def test_what_a_file_raises_in_a_worker_alone_is_said_with_the_host(tmp_path, monkeypatch, end, said):
    monkeypatch.setattr(processes, "forkable", lambda planned: False)  # noqa: ARG005
    found = own(tmp_path)
    elsewhere = f"import os, sys\nif os.getpid() != {os.getpid()}: {end}\n"
    (tmp_path / "beside.py").write_text(elsewhere)
    (tmp_path / "mine.py").write_text("import beside\n" + (tmp_path / "mine.py").read_text())
    found = study_cases.planned(str(tmp_path / "my.toml"))
    with (
        open_store(found, tmp_path / "runs") as store,
        pytest.raises(RunError, match=f"the worker on .+ could not read the study: {said}") as raised,
    ):
        train_runs(found, store, executor=Processes(1, always=True))
    assert "beside.py" in raised.value.__notes__[0]


@pytest.mark.parametrize("more", ["", "threads = 2\n"])  # which no fork has
def test_a_driver_that_is_killed_leaves_no_worker_and_the_same_command_goes_on(tmp_path, more):
    found = own(tmp_path, "if trains_in_a_worker(): time.sleep(0.002)", steps=200)
    program = (
        "import sys; from tapered.cli.main import main; "
        f"sys.exit(main(['study', {str(tmp_path / 'my.toml')!r}, '--store', {str(tmp_path / 'runs')!r}]))"
    )
    (tmp_path / "my.toml").write_text(
        (tmp_path / "my.toml")
        .read_text()
        .replace("seeds = 3", f'seeds = 3\n{more}executor = {{ kind = "processes", workers = 2 }}')
    )
    begun = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers = []
    deadline = time.monotonic() + 60
    while not (workers and any((tmp_path / "runs" / "runs").glob("*.json"))) and time.monotonic() < deadline:
        children = subprocess.run(["pgrep", "-P", str(begun.pid)], check=False, **QUIET).stdout.split()
        workers = [int(pid) for pid in children]
        time.sleep(0.05)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    deadline = time.monotonic() + 30  # benchmarks/faults/scale.py counts from 5 s on
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers
    assert not any(map(alive, workers))
    found = study_cases.planned(str(tmp_path / "my.toml"))
    gone_on = trained(found, tmp_path / "runs", Processes(2, always=True))
    assert same(trained(found, tmp_path / "here", Here()), gone_on)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def test_no_number_depends_on_the_executor(tmp_path):
    plain, other = (
        stated(tmp_path),
        stated(tmp_path, more='executor = { kind = "processes", workers = 7, lease = 5 }\n'),
    )
    assert other.study.executor == Asked(kind="processes", workers=7, lease=5.0)
    assert frozen_facts(plain.stated) == frozen_facts(other.stated)


@pytest.mark.parametrize(
    ("said", "kind", "workers"),
    [
        ({}, Here, 1),
        ({"workers": 1}, Here, 1),
        ({"workers": 3}, Processes, 3),
        ({"workers": 70}, Processes, 4),  # as many as there are cores
        ({"kind": "processes", "workers": 70}, Processes, 70),
        ({"kind": "processes", "workers": 1}, Processes, 1),
    ],
)
def test_what_a_study_asks_for_is_chosen(tmp_path, monkeypatch, said, kind, workers):
    monkeypatch.setattr(choose, "cores", lambda: 4)
    chosen = choose.executor_of(asking(stated(tmp_path), **said))
    assert type(chosen) is kind
    assert chosen.workers == workers


def test_cores_are_shared_by_the_threads_of_a_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "cores", lambda: 9)
    found = stated(tmp_path, more="threads = 2\n")
    assert choose.executor_of(asking(found, workers="cores")).workers == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers = 0", 'got 0; expected a number from 1 to 4096, "cores" or "gpus"'),
        ("workers = true", "expected a number from 1 to 4096"),
        ('workers = "all"', "expected a number from 1 to 4096"),
        ("lease = 0", "executor.lease"),
        ('address = "auto"', r'try kind = "ray"'),
        ('kind = "here", workers = 2', r'try kind = "processes"'),
        ('kinds = "here"', "executor.kinds is no field"),
    ],
)
def test_an_executor_that_is_none_is_refused(tmp_path, text, said):
    with pytest.raises(StudyFileError, match=said):
        stated(tmp_path, more=f"executor = {{ {text} }}\n")


def test_a_study_made_in_python_trains_here_only(tmp_path):
    found = stated(tmp_path)
    found = replace(found, stated=replace(found.stated, origin=None))
    with open_store(found, tmp_path / "runs") as store, pytest.raises(ValueError, match="made in Python"):
        train_runs(found, store, executor=Processes(2, always=True))


# a worker is told, and what it says is read, without a process between


def answers(found, folder, *told):
    said = []
    mine = worker.Worker(said.append)
    with open_store(found, folder) as store:
        for message in (task.job_of(found, store.folder), *told, None):
            mine.tell(message)
        mine.serve()
    return said


def changed(message, **fields):
    return Message(message.kind, {**message.fields, **fields}, message.pieces)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("workload.train", "other data", "workload.train is other data here, "),
        ("versions", "torch 1.0", "versions is torch 1.0 here, tapered"),
        ("kind", "vectors: AVX9; bits: 0", "kind vectors is AVX9 here, "),
    ],
)
def test_a_worker_refuses_what_would_be_another_study(tmp_path, name, value, said):
    found = stated(tmp_path)
    said_by = []
    mine = worker.Worker(said_by.append)
    with open_store(found, tmp_path / "runs") as store:
        job = task.job_of(found, store.folder)
    assert name in job.fields["facts"]
    mine.tell(changed(job, facts={**job.fields["facts"], name: value}))
    mine.tell(None)
    mine.serve()
    assert [message.kind for message in said_by] == ["refused"]
    assert said in said_by[0].fields["why"]
    assert said_by[0].fields["host"]


def test_any_kind_of_worker_is_taken_where_the_study_says_so(tmp_path):
    found = stated(tmp_path, more='kinds = "any"\n')
    said = []
    mine = worker.Worker(said.append)
    with open_store(found, tmp_path / "runs") as store:
        job = task.job_of(found, store.folder)
        mine.tell(changed(job, facts={**job.fields["facts"], "kind": "vectors: AVX9; bits: 0"}))
        mine.tell(None)
        mine.serve()
    assert [(message.kind, message.fields.get("sees_folder")) for message in said] == [("ready", True)]


def test_a_run_that_has_another_key_here_is_refused_by_name(tmp_path):
    found = stated(tmp_path)
    forest = forest_of(found)
    (rule,) = forest.rules
    bundle = forest.bundles(rule, 1)[0]
    other = replace(bundle.branches[0].runs[0], key="0" * 20)
    work = Work(found, forest, rule, study_cases.LOOP, (bundle,), 24)
    changed_ = Bundle((replace(bundle.branches[0], runs=(other, *bundle.branches[0].runs[1:])),))
    for each, refused in ((bundle, False), (changed_, True)):
        told = task.task_of(1, work, pack(each, None, ())[0], None)
        said = r"arm 'constant', peak 0.01, seed 0 is another run here than 0{20}"
        with pytest.raises(task.OtherError, match=said) if refused else nullcontext():
            task.read_task(found, told.fields)


def test_a_worker_without_the_folder_gets_rows_and_sends_them(tmp_path):
    """As on another machine: the code comes with the job, rows come and go as bytes, and nothing is written here."""
    found = own(tmp_path, mode="rows")
    here = trained(found, tmp_path / "here", Here())

    class Elsewhere:
        slot = 0

        def __init__(self, _slot, inbox):
            self.inbox = inbox
            self.worker = worker.Worker(lambda message: inbox.put((self, message)))

        def tell(self, message):
            if message.kind == "job":
                message = changed(message, folder=str(tmp_path / "nowhere"), store=str(tmp_path / "nowhere"))
            self.worker.tell(message)
            if message.kind != "stop":
                self.worker.tell(None)
                self.worker.serve()

        def ended(self):
            return "never"

        def close(self):
            pass

    class Others(Here):
        def train(self, works, store, told):
            pool_ = pool.Pool(Elsewhere, 1, task.job_of(found, store.folder))
            pool_.train([pool.Item(work, bundle) for work in works for bundle in work.bundles], store, told)

    monkey = pytest.MonkeyPatch()
    monkey.setattr(grow, "SAVE_SECONDS", 0.0)
    monkey.setattr(grow, "FORK_SECONDS", 0.0)
    try:
        assert same(trained(found, tmp_path / "there", Others()), here)
    finally:
        monkey.undo()
    assert not (tmp_path / "nowhere").exists()


def test_what_arrives_damaged_is_not_kept(tmp_path):
    found = stated(tmp_path, "rows")
    trained(found, tmp_path / "runs", Here())
    path = next((tmp_path / "runs" / "runs").glob("*.json"))
    kept = bundle_from_text(path.read_text(), path.stem)
    message = Message("put", {"name": path.stem, "parts": [[path.stem, path.read_text()]]}, (b"other bytes",))
    with pytest.raises(RunError, match="did not arrive as it was sent"):
        pool._parts(message)
    assert kept.state


def test_a_long_bundle_is_cut_where_a_worker_is_idle(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "WORTH", 0.0)
    found = own(
        tmp_path,
        "if trains_in_a_worker(): time.sleep(0.01)",
        steps=100,
        arms=arm_text("constant") + arm_text("late", "hold(10).then(cooldown(90))"),
    )
    cut = []
    parts = pool.Item.parts
    monkeypatch.setattr(pool.Item, "parts", lambda item, store: cut.append(item) or parts(item, store))
    told = trained(found, tmp_path / "runs", Processes(4, always=True))
    assert cut
    assert same(trained(found, tmp_path / "here", Here()), told)


@pytest.mark.parametrize("executor", [Here(), Processes(1, always=True)], ids=["here", "a worker"])
@pytest.mark.parametrize("harm", ["cut", "gone", "a link"])
def test_rows_that_are_damaged_are_refused_with_what_to_delete(tmp_path, harm, executor):
    found, made = stated(tmp_path, "rows"), []
    with open_store(found, tmp_path / "runs") as store:
        train_runs(found, store, progress=made.append, stop=lambda: sum(made) > 20)
        (path,) = store.folder.glob("runs/*.json")
        (rows,) = store.folder.glob("runs/*.safetensors")
        data = rows.read_bytes()
        rows.unlink()
        if harm == "cut":
            rows.write_bytes(data[: len(data) // 2])
        elif harm == "a link":
            (tmp_path / "elsewhere").write_bytes(data)
            rows.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match=rf"is not the file that was written; delete .*{path.name} and its runs"):
            train_runs(found, store, executor=executor)
