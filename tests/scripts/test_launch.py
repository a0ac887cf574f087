"""The witness in front of what each kind of command starts, or why it cannot be."""

import shlex
import sys

import pytest

from tapered.scripts.launch import shebang, witnessed

W = "tapered.scripts.witness see"
SEEN = {
    "python train.py --lr 1": f"python -m {W} train.py --lr 1",
    "/opt/env/bin/python3.11 train.py": f"/opt/env/bin/python3.11 -m {W} train.py",
    "python -u -W ignore -X dev train.py -m x": f"python -u -W ignore -X dev -m {W} train.py -m x",
    "python -Wignore -Bu train.py": f"python -Wignore -Bu -m {W} train.py",
    "python -m pkg.train --lr 1": f"python -m {W} -m pkg.train --lr 1",
    "python -um pkg.train": f"python -u -m {W} -m pkg.train",
    "python -mpkg.train x": f"python -m {W} -m pkg.train x",
    "uv run python train.py": f"uv run python -m {W} train.py",
    "uv run --with x train.py a": f"uv run --with x python -m {W} train.py a",
    "uv run -m pkg.t": f"uv run python -m {W} -m pkg.t",
    "env A=1 nice -n 5 python train.py": f"env A=1 nice -n 5 python -m {W} train.py",
    "torchrun train.py x.py": f"torchrun --standalone --module {W} train.py x.py",
    "torchrun --nproc-per-node=2 -m pkg.t x": f"torchrun --nproc-per-node=2 --standalone --module {W} -m pkg.t x",
    "torchrun --rdzv-backend c10d train.py": f"torchrun --rdzv-backend c10d --module {W} train.py",
    "torchrun --master_port 0 train.py": f"torchrun --master_port 0 --module {W} train.py",
    "python -m torch.distributed.run train.py": f"python -m torch.distributed.run --standalone --module {W} train.py",
    "python /opt/bin/torchrun train.py": f"python /opt/bin/torchrun --standalone --module {W} train.py",
    "torchrun --no-python python train.py": f"torchrun --no-python python -m {W} train.py",
    "accelerate launch --config_file a.yaml train.py": (
        f"accelerate launch --config_file a.yaml --main_process_port 0 --module {W} train.py"
    ),
    "accelerate launch --main_process_port 1 -m t": f"accelerate launch --main_process_port 1 --module {W} -m t",
    "python -m accelerate.commands.launch t.py": (
        f"python -m accelerate.commands.launch --main_process_port 0 --module {W} t.py"
    ),
    "deepspeed --num_gpus 2 train.py": f"deepspeed --num_gpus 2 --module {W} train.py",
}


@pytest.mark.parametrize("line", SEEN)
def test_what_is_witnessed(line, tmp_path):
    found = witnessed(shlex.split(line), "see", folder=tmp_path)
    assert (shlex.join(found.words), found.why) == (SEEN[line], "")
    assert shlex.join(witnessed(shlex.split(line), "set", folder=tmp_path).words) == SEEN[line].replace(" see", " set")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("bash train.sh", "`bash` is not Python"),
        ("julia train.jl", "not Python"),
        ("python -c 'import x'", "no script"),
        ("python -", "no script"),
        ("python", "no script"),
        ("python -m", "no module"),
        ("torchrun train", "cannot be told"),
        ("accelerate test", "launch"),
        ("nice -n 5 julia x", "starts no Python"),
    ],
)
def test_what_cannot_be_witnessed_is_started_as_it_is_and_said(line, why, tmp_path):
    found = witnessed(shlex.split(line), "see", folder=tmp_path)
    assert list(found.words) == shlex.split(line)
    assert why in found.why


def test_off_is_no_witness(tmp_path):
    found = witnessed(["python", "-m", "train", "x"], "off", folder=tmp_path)
    assert (found.words, found.why) == (("python", "-m", "train", "x"), 'rate = "off"')


@pytest.mark.parametrize("rate", ["see", "off"])
def test_processes_by_torchrun_where_a_command_says_nothing(rate, tmp_path):
    run = "python -m torch.distributed.run --standalone --nproc-per-node 2"
    module = f" --module {W}" if rate == "see" else ""
    for own in ("train.py x", "-m train x"):
        found = witnessed(["python", *own.split()], rate, 2, tmp_path)
        assert shlex.join(found.words) == f"{run}{module} {own}"
    assert "2" not in witnessed(["torchrun", "train.py"], rate, 2, tmp_path).words


@pytest.mark.parametrize("first", ["#!/usr/bin/env python3", "#!/usr/bin/env -S python3 -u", f"#!{sys.executable}"])
def test_a_program_that_python_runs_by_its_first_line(first, tmp_path):
    (tmp_path / "train").write_text(f"{first}\nprint(1)\n")
    by = shlex.split(first.removeprefix("#!/usr/bin/env").removeprefix("#!").replace("-S", ""))
    expected = [*by, "-m", *W.split(), str(tmp_path / "train"), "--lr"]
    assert list(witnessed(["./train", "--lr"], "see", folder=tmp_path).words) == expected


@pytest.mark.parametrize("text", ["#!/bin/sh\n", "print(1)\n", "", "#!\n", "\x7fELF", "#!/usr/bin/env -S 'x\n"])
def test_another_program_is_none(text, tmp_path):
    (tmp_path / "train").write_text(text)
    assert shebang("./train", tmp_path) is None
    assert shebang("./none", tmp_path) is None
