"""Ray: a study's bundles in actors, the same bits, one of them killed on the way; what is refused and said."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
from test_executors import KILLS, asking, own, same, trained

from tapered import machines
from tapered.files.wire import Message
from tapered.study.train import choose, on_ray
from tapered.study.train.executor import Here
from tapered.workloads.own import StudyFileError

PROGRAM = """
import sys, threading
from pathlib import Path
from study_cases import planned
from tapered.study import open_store, train_runs
found = planned(sys.argv[1])
with open_store(found, Path(sys.argv[2])) as store:
    train_runs(found, store)
print([thread.name for thread in threading.enumerate() if "_listen" in thread.name])
"""


def test_actors_give_the_bits_of_one_process_and_one_that_is_killed_is_replaced(tmp_path):
    pytest.importorskip("ray", reason="needs ray; try: pip install 'tapered[ray]'")
    asked = 'executor = { kind = "ray", address = "local", workers = 2 }\n'
    found = own(tmp_path, KILLS.format(end="os.kill(os.getpid(), signal.SIGKILL)"), mode="rows", more=asked)
    settings = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "my.toml"), str(tmp_path / "ray")]
    done = subprocess.run(command, check=False, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"  # who still asked of the Ray that is gone would begin another one
    assert (tmp_path / "killed").exists()
    there = trained(
        found, tmp_path / "ray", Here(), progress=lambda updates: pytest.fail(f"{updates} were not trained")
    )
    assert same(there, trained(found, tmp_path / "here", Here()))


def test_without_ray_it_is_said_how_to_have_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    found = own(tmp_path, more='executor = { kind = "ray" }\n')
    with pytest.raises(StudyFileError, match=r"pip install 'tapered\[ray\]'"):
        trained(found, tmp_path / "runs", choose.executor_of(found))


def test_what_a_study_asks_of_ray(tmp_path):
    chosen = choose.executor_of(asking(own(tmp_path), kind="ray", address="auto", workers=5))
    assert type(chosen) is on_ray.OnRay
    assert chosen.workers == 5


@pytest.mark.parametrize("address", ["10.1.2.3:6379", "head.example:6379", "[2001:db8::1]:6379"])
def test_a_foreign_cluster_without_authentication_is_said(address, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.warns(UserWarning, match="joined without authentication"):
        machines.warn(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machines.warn(address)


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:6379", "localhost:6379", "[::1]:6379"])
def test_a_cluster_of_this_machine_is_joined_without_a_word(address, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machines.warn(address)


def test_rays_client_is_refused_with_what_to_do(tmp_path):
    found = own(tmp_path, more='executor = { kind = "ray", address = "ray://head:10001" }\n')
    with pytest.raises(StudyFileError, match="ray job submit"):
        trained(found, tmp_path / "runs", choose.executor_of(found))


class Ray:
    """A Ray that takes over SIGTERM, as the real one does, and then does as it is told."""

    def __init__(self, act):
        self.act, self.joined = act, []

    def is_initialized(self):
        return False

    def init(self, address, **_):
        self.joined.append(address)
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        self.act()


def ray(monkeypatch, act):
    found = Ray(act)
    monkeypatch.setattr(machines, "ray", lambda: found)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    return found


@pytest.fixture
def port():
    """One that nobody hears."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("by", ["option", "environment"])
def test_where_nobody_answers_it_is_said_at_once(monkeypatch, port, by):
    found, address = ray(monkeypatch, lambda: None), f"127.0.0.1:{port}"
    if by == "environment":
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(machines.MachineError, match=f"nobody answers at address='{address}' .*ray start --head"):
        machines.join(address if by == "option" else "auto")
    assert found.joined == []


@pytest.mark.parametrize("address", ["a b:1", "[::1]:99999", "no.such.host.invalid:6379"])
def test_an_address_that_is_none_is_said(monkeypatch, address):
    ray(monkeypatch, lambda: None)
    with pytest.raises(machines.MachineError, match="nobody answers"):
        machines.join(address)


def test_rays_client_of_the_environment_is_refused_too(monkeypatch):
    found = ray(monkeypatch, lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(machines.MachineError, match="ray job submit"):
        machines.join("auto")
    assert found.joined == []


def test_a_foreign_cluster_of_the_environment_is_said_too(monkeypatch):
    found = ray(monkeypatch, lambda: None)
    monkeypatch.setattr(machines.socket, "create_connection", lambda *_: SimpleNamespace(close=lambda: None))
    monkeypatch.setenv("RAY_ADDRESS", "10.1.2.3:6379")
    monkeypatch.delenv("RAY_AUTH_MODE")
    with pytest.warns(UserWarning, match="10.1.2.3:6379 is joined without authentication"):
        assert machines.join("auto")
    assert found.joined == ["auto"]


@pytest.mark.parametrize(
    ("does", "raised"),
    [("is killed", KeyboardInterrupt), ("finds none", machines.MachineError), ("finds one", None)],
)
def test_who_ends_this_while_ray_tries_is_heard_as_ever(monkeypatch, does, raised):
    def act():
        if does == "is killed":
            os.kill(os.getpid(), signal.SIGTERM)
        elif does == "finds none":
            raise ConnectionError("none")

    ray(monkeypatch, act)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(raised) if raised else contextlib.nullcontext():
        machines.join("auto")
    assert signal.getsignal(signal.SIGTERM) is before


def cluster(monkeypatch, **resources):
    monkeypatch.setattr(machines, "ray", lambda: SimpleNamespace(cluster_resources=lambda: resources))


def test_as_many_workers_as_a_cluster_has_room_for(monkeypatch):
    cluster(monkeypatch, CPU=9.0, GPU=2.0)
    assert machines.room({"num_cpus": 2, "num_gpus": 0}) == 4
    assert machines.room({"num_cpus": 2, "num_gpus": 1}) == 2
    cluster(monkeypatch, CPU=9.0)
    with pytest.raises(machines.MachineError, match="a worker needs"):
        machines.room({"num_cpus": 1, "num_gpus": 1})


def test_a_message_comes_out_of_a_frame_as_it_went_in():
    message = Message("put", {"name": "a", "parts": [["a", "{}"]]}, (b"1", b""))
    assert on_ray._message(on_ray._frame(message)) == message
