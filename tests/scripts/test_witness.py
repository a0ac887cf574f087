"""A script within the witness runs as it does without: its words, paths, workers, threads, ends."""

import os
import re
import subprocess
import sys
import textwrap

import pytest
from script_runs import STEPS, around, ask, cosine, difference, seen, start, started
from warm import TORCH, Warm

from tapered.scripts import notes, witness


@pytest.fixture(scope="module")
def warm():
    found = Warm(*TORCH, around=around())
    yield found
    found.close()


STRANGE = """
import os
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
import sys
assert "torch" not in sys.modules and "numpy" not in sys.modules, "what it sets first is read"
import argparse, inspect, json, pickle, threading
from dataclasses import dataclass
import beside  # a module in its own folder
within = bool(os.environ["TAPERED_RUN"])
if within:
    import torch
    from torch.utils.data import DataLoader, Dataset
else:
    Dataset = object

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("rest", nargs="*")
arguments = parser.parse_args()

@dataclass
class Rows(Dataset):
    count: int
    def __len__(self):
        return self.count
    def __getitem__(self, index):
        return torch.full((4,), float(index))

def train():
    net = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=arguments.lr)
    for batch in DataLoader(Rows(STEPS), batch_size=1, num_workers=1, multiprocessing_context="spawn"):
        optimizer.zero_grad()
        net(batch).mean().backward()
        optimizer.step()
    assert torch.get_num_threads() == 1

def main():
    assert pickle.loads(pickle.dumps(Rows(3))) == Rows(3)
    assert "class Rows" in inspect.getsource(Rows)
    if within:
        train()
    facts = {"argv": sys.argv, "prog": parser.prog, "file": __file__, "path": sys.path[0], "cwd": os.getcwd(),
             "main": sys.modules["__main__"].__dict__ is globals(), "name": __name__, "rest": arguments.rest,
             "beside": beside.__name__}
    print(json.dumps(facts), flush=True)
    os._exit(3)

if __name__ == "__main__":
    main()
"""


def facts_of(done):
    import json

    assert done.returncode == 3, done.stderr
    return json.loads(done.stdout)


def test_a_script_finds_everything_as_python_gives_it_and_loses_no_update(tmp_path, monkeypatch) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text(STRANGE.replace("STEPS", str(STEPS)))
    (code / "beside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    run = ask(tmp_path / "run")
    words = ["code/train.py", "--lr", "0.5", "a b", "--", "-x"]
    within = facts_of(start(run.folder, "set", *words))
    alone = facts_of(started("", words))
    assert within == alone
    assert seen(run.folder) == dict(enumerate(cosine()))
    assert notes.unseen(run.folder) == []


LOOP = """
import os, sys, torch
net = torch.nn.Linear(4, 1)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.5)
path = sys.argv[1]
done = 0
if os.path.exists(path):
    done, *states = torch.load(path)
    net.load_state_dict(states[0]), optimizer.load_state_dict(states[1])
for step in range(done, STEPS):
    optimizer.zero_grad()
    net(torch.ones(4)).sum().backward()
    optimizer.step()
    if step == 4 and not done:
        END
    if step == 2:
        torch.save((3, net.state_dict(), optimizer.state_dict()), path)
"""


def test_a_killed_script_that_resumes_made_every_update_as_asked(tmp_path, warm) -> None:
    script, run = tmp_path / "loop.py", ask(tmp_path / "run")
    script.write_text(LOOP.replace("STEPS", str(STEPS)).replace("END", "os.kill(os.getpid(), 9)"))
    assert start(run.folder, "set", script, tmp_path / "saved", warm=warm).returncode == -9
    assert len(seen(run.folder)) == 5
    assert start(run.folder, "set", script, tmp_path / "saved", warm=warm).returncode == 0
    lines = [int(line.split(",")[0]) for line in (run.folder / "applied.csv").read_text().splitlines()]
    assert lines == [*range(5), *range(3, STEPS)]
    assert difference(run) is None
    assert notes.hints(run.folder) == []


def test_a_module_of_a_package_that_leaves_by_sys_exit(tmp_path, monkeypatch, warm) -> None:
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    code = LOOP.replace("STEPS", str(STEPS)).replace("END", 'print(__spec__.name); sys.exit("enough")')
    (package / "train.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    run = ask(tmp_path / "run")
    done = start(run.folder, "set", "-m", "pack.train", tmp_path / "saved", warm=warm)
    assert (done.returncode, done.stdout, done.stderr) == (1, "pack.train\n", "enough\n")
    assert seen(run.folder) == dict(enumerate(cosine()[:5]))


SPAWNED = """
import os, torch, tapered
from torch import distributed, multiprocessing

def train(rank, place):
    run = tapered.current_run()
    world = int(os.environ["WORLD"])
    distributed.init_process_group("gloo", init_method="file://" + place, rank=rank, world_size=world)
    net = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for step in range(run.steps):
        optimizer.zero_grad()
        net(torch.ones(4)).sum().backward()
        optimizer.step()
        run.log(step + 1, loss=float(rank))
    distributed.destroy_process_group()
    os._exit(0)  # torch's own destructors hang now and then in processes that were forked

if __name__ == "__main__":
    run = tapered.current_run()
    how = {"nprocs": int(os.environ["WORLD"]), "start_method": os.environ["HOW"]}
    multiprocessing.start_processes(train, (str(run.out / "meet"),), **how)
"""


@pytest.mark.parametrize(("how", "world"), [("spawn", 1), ("fork", 2)])
def test_processes_that_a_script_starts_are_witnessed_where_they_ask_for_their_run(how, world, tmp_path, warm) -> None:
    script, run = tmp_path / "spawned.py", ask(tmp_path / "run", rate="set")
    script.write_text(SPAWNED)
    done = start(run.folder, "set", script, HOW=how, WORLD=str(world), warm=warm)
    assert done.returncode == 0, done.stderr
    assert seen(run.folder) == dict(enumerate(cosine()))
    assert seen(run.folder, rank=1) == {}
    assert difference(run) is None
    assert notes.unseen(run.folder) == []
    assert (run.folder / "reports.jsonl").read_text().count('"loss": 0.0') == STEPS


def test_processes_that_do_not_are_said_to_be_unseen(tmp_path, warm) -> None:
    script, run = tmp_path / "forked.py", ask(tmp_path / "run")
    script.write_text(
        textwrap.dedent("""
        import os, torch
        net = torch.nn.Linear(4, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
        child = os.fork()
        if child == 0:
            net(torch.ones(4)).sum().backward()
            optimizer.step()
            os._exit(0)
        os.waitpid(child, 0)
    """)
    )
    assert start(run.folder, "see", script, warm=warm).returncode == 0
    assert seen(run.folder) == {}
    assert notes.hints(run.folder) == [
        "updates were made in processes that the script started; let each call tapered.current_run()"
    ]


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        ([], {}, "usage: "),
        (["look", "train.py"], {}, "usage: "),
        (["see"], {}, "usage: "),
        (["see", "-m"], {}, "usage: "),
        (["see", "train.py"], {"TAPERED_RUN": ""}, "TAPERED_RUN is not set"),
        (["see", "train.py"], {"TAPERED_RUN": "/nowhere"}, "/nowhere/run.json cannot be read"),
        (["see", "nothing.py"], {}, "there is no file nothing.py"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(words, variables, said, tmp_path, monkeypatch) -> None:
    run = ask(tmp_path)
    monkeypatch.setattr(witness, "INSTALLED", ["held"])
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("TAPERED_RUN", variables.get("TAPERED_RUN", str(run.folder)))
    with pytest.raises(SystemExit, match=re.escape(said)):
        witness.main(words)


def test_without_a_run_a_script_that_asks_for_one_runs_as_ever() -> None:
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    around.pop("TAPERED_RUN", None)
    code = "import sys, tapered; print(tapered.current_run(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=around, capture_output=True, text=True, check=True)
    assert done.stdout == "None False\n"
