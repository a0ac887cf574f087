"""A study from its folder: its answer again, how far it is, its page; and its winner as code at its rates."""

import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import threading

import pytest
import torch
from filelock import FileLock
from study_cases import arm_text

from tapered import parse
from tapered.cli.main import main
from tapered.convert.code import TARGETS, code
from tapered.report import serve
from tapered.study.store.text import bundle_from_text

DECAY = "cosine_decay(decay_steps=steps)"
TOML = (
    """
name = "mine"
question = "Does a cosine help?"
workload = "quadratic"
steps = 40
seeds = 8
baseline = "constant"
peaks = { low = 0.05, high = 0.1, count = 2 }
"""
    + arm_text("constant")
    + arm_text("decay", DECAY)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("shown")
    (where / "my.toml").write_text(TOML)
    assert main(["study", str(where / "my.toml"), "--store", str(where / "s")]) == 0
    return where / "s"


def test_what_was_printed_is_shown_again(folder, capsys):
    assert main(["study", str(folder.parent / "my.toml"), "--store", str(folder)]) == 0
    printed = capsys.readouterr().out
    (folder / "runs").rename(folder / "aside")  # nothing but the result is looked at
    assert main(["show", str(folder)]) == 0
    (folder / "aside").rename(folder / "runs")
    assert capsys.readouterr().out == printed
    assert main(["show", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == "Does a cosine help?"


def test_a_hyper_that_follows_the_rate_is_exported_as_a_schedule(tmp_path, capsys):
    text = TOML.replace("steps = 40", "steps = 10").replace("seeds = 8", "seeds = 1")
    (tmp_path / "my.toml").write_text(text + 'hypers = { weight_decay = "0.5 * shape" }\n')
    assert main(["study", str(tmp_path / "my.toml"), "--store", str(tmp_path / "s")]) == 0
    capsys.readouterr()
    assert main(["export", str(tmp_path / "s"), "--arm", "decay", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rate, decay = parse(found["schedule"]), parse(found["hypers"]["weight_decay"])
    assert [decay(k) for k in range(10)] == pytest.approx([0.5 * rate(k) / rate(0) for k in range(10)])


def test_what_was_changed_or_is_none_is_refused(folder, tmp_path, capsys):
    other = tmp_path / "s"
    (other / "runs").mkdir(parents=True)
    assert main(["show", str(tmp_path)]) == 3
    assert "is no study's folder; expected one as studies/NAME-HASH" in capsys.readouterr().err
    assert main(["show", str(other)]) == 3
    assert "has no result yet" in capsys.readouterr().err
    (other / "result.json").write_text((folder / "result.json").read_text().replace("cosine", "Cosine"))
    assert main(["show", str(other)]) == 3
    assert "differs from its own SHA-256" in capsys.readouterr().err


def test_an_arm_is_exported_at_its_best_peak(folder, capsys):
    assert main(["export", str(folder), "--arm", "decay", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schedule"] == f"{found['best_peak']} * cosine_decay(decay_steps=40)"
    assert main(["export", str(folder), "--arm", "dekay"]) == 2
    assert "the study has no arm 'dekay'; try \"decay\"" in capsys.readouterr().err


RATE = "0.02 * warmup(3) * cosine_decay(decay_steps=9)"


def rates(lines, **names):
    """The rate of each of ten updates that the code's optimizer makes."""
    model = torch.nn.Linear(3, 1)
    space = {"model": model, **names}
    exec("\n".join(lines), space)
    if "configure_optimizers" in space:
        [optimizer], _ = space["configure_optimizers"](model)
    else:
        optimizer = space["optimizer"]
    found = []
    for _ in range(10):
        model(torch.ones(3)).sum().backward()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        found.append(max(float((p.detach() - b).abs().max()) for p, b in zip(model.parameters(), before, strict=True)))
    return found, optimizer


@pytest.mark.parametrize("to", ["tapered", "torch", "transformers", "lightning"])
def test_the_code_trains_at_the_rates(to):
    moved, optimizer = rates(code(to, "Adam", {"decay": "decoupled"}, {"beta1": 0.0, "beta2": 0.0, "eps": 1e-12}, RATE))
    schedule = parse(RATE)  # without memory a step of Adam's is as long as its rate
    assert moved == pytest.approx([schedule(k) for k in range(10)], rel=1e-4, abs=1e-9)
    assert optimizer.param_groups[0]["weight_decay"] == 0.0
    assert tuple(map(float, optimizer.param_groups[0]["betas"])) == (0.0, 0.0)


@pytest.mark.parametrize("to", ["tapered", "torch", "transformers", "lightning"])
def test_the_code_for_an_optimizer_of_ones_own_sets_its_rates(to):
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    exec("\n".join(code(to, None, {}, {}, RATE)), {"optimizer": optimizer})
    made = []
    for _ in range(10):
        before, parameter.grad = float(parameter.detach()), torch.ones(1)
        optimizer.step()
        made.append(before - float(parameter.detach()))
    assert made == pytest.approx([parse(RATE)(k) for k in range(10)], rel=1e-4, abs=1e-8)


def test_the_code_of_other_rules_makes_them():
    for to, names in (
        ("torch", {"beta1": 0.8}),
        ("tapered", {"beta2": 0.95, "beta1": 0.8}),
        ("torch", {"beta2": 0.95}),
    ):
        _, optimizer = rates(code(to, "Adam", {}, names, RATE))
        betas = names.get("beta1", 0.9), names.get("beta2", 0.999)
        assert tuple(map(float, optimizer.param_groups[0]["betas"])) == betas
    _, optimizer = rates(code("torch", "SGD", {"momentum": True, "nesterov": True}, {"momentum": 0.9}, RATE))
    assert (type(optimizer).__name__, optimizer.param_groups[0]["momentum"]) == ("SGD", 0.9)
    assert optimizer.param_groups[0]["nesterov"]
    _, optimizer = rates(code("torch", "NAdam", {"decay": "decoupled"}, {"weight_decay": 0.1}, RATE))
    assert optimizer.param_groups[0]["decoupled_weight_decay"]
    for to in ("tapered", "transformers", "lightning"):
        _, optimizer = rates(code(to, "Adam", {}, {"weight_decay": "hold(9)"}, RATE))
        assert math.isclose(float(optimizer.param_groups[0]["weight_decay"]), 1.0)


@pytest.mark.parametrize("rule", ["Adam", "SGD", "Lion"])
def test_the_code_for_optax_trains_at_the_rates(rule):
    optax = pytest.importorskip("optax", reason="needs optax; try: pip install 'tapered[bench]'")
    import jax.numpy as jnp

    space = {}
    exec("\n".join(code("optax", rule, {}, {}, RATE)), space)
    optimizer, schedule = space["optimizer"], parse(RATE)
    state = optimizer.init(jnp.zeros(1))
    for k in range(10):
        update, state = optimizer.update(jnp.ones(1), state, jnp.zeros(1))
        assert float(update[0]) == pytest.approx(-schedule(k), rel=1e-3, abs=1e-7)
    assert optax


def test_the_code_for_keras_says_every_number():
    *_, last = code("keras", "Adam", {"decay": "decoupled"}, {}, "0.1 * cosine_decay(decay_steps=9)")
    assert last.endswith("AdamW(learning_rate=schedule, beta_1=0.9, beta_2=0.999, epsilon=1e-08, weight_decay=0.0)")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("torch", "Lion", {}, {}), "torch has no optimizer for rule 'Lion'"),
        (("torch", "Adam", {"epsilon": "hat"}, {}), "epsilon = 'hat' has no counterpart in torch"),
        (("torch", "Adam", {}, {"weight_decay": "hold(9)"}), "is a schedule, which only tapered's optimizers take"),
        (("keras", "Adam", {}, {"weight_decay": 0.1}), "Adam with weight_decay = 0.1 in the gradient"),
        (("optax", "SGD", {}, {"dampening": 0.1}), "SGD with dampening = 0.1"),
        (("keras", "Adadelta", {}, {}), "keras has no counterpart of Adadelta; try --to tapered"),
    ],
)
def test_what_has_no_counterpart_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        code(*given, RATE)


@pytest.mark.parametrize("name", ["Adam; import os", "x=print(1), eps", "", "Adam\nimport os"])
@pytest.mark.parametrize("to", TARGETS)
def test_a_forged_name_is_no_code(to: str, name: str) -> None:
    for rule, hypers in ((name, {}), ("Adam", {name: 1.0})):
        with pytest.raises(ValueError, match="as the name of a rule or hyper; expected one as Adam or beta1"):
            code(to, rule, {}, hypers, "0.1 * warmup(9)")


def tree(folder):
    """Every file's bytes and times."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def runs_of(path):
    return len(bundle_from_text(path.read_text(), path.stem).bundle.keys)


@pytest.fixture
def half(folder, tmp_path):
    """A study that was stopped before one of its bundles was kept, and how many runs are done."""
    shutil.copytree(folder, tmp_path / "half")
    for name in ("result.json", "report.html"):
        (tmp_path / "half" / name).unlink()
    part = min((tmp_path / "half" / "runs").glob("*.json"))
    lacking = runs_of(part)
    part.unlink()
    return tmp_path / "half", 48 - lacking


def test_how_far_a_study_is_while_somebody_works_there(half, capsys):
    where, done = half
    FileLock(where / "lock", is_singleton=False).acquire()
    (where / "owner").write_text(f"process {os.getpid()} on {socket.gethostname()}")
    before = tree(where)
    where.chmod(0o555)
    assert main(["show", str(where)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"Not finished: {done} of 48 runs are done." in out
    assert f"Process {os.getpid()} on {socket.gethostname()} works there; the last was kept about" in out
    assert "best peak so far" in out
    assert not re.search("beats|loses|better|not shown", out)
    assert main(["show", str(where), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["finished"], found["running"], found["runs"]["done"], found["page"]) == (False, True, done, None)
    assert sum(stage["done"] for stage in found["stages"]) == done
    assert {arm["name"] for arm in found["arms"]} == {"constant", "decay"}
    assert tree(where) == before


def test_of_a_folder_that_somebody_changes_only_what_is_whole_is_believed(half, capsys):
    where, done = half
    (where / "owner").write_text(f"process {2**30 - 1} on {socket.gethostname()}")
    runs = sorted((where / "runs").glob("*.json"))
    lost = runs_of(runs[0])
    runs[0].write_text(runs[0].read_text().replace("constant", "Constant").replace("decay", "Decay"))
    (where / "runs" / f"{'0' * 20}.json").write_text("[" * 100_000)
    os.mkfifo(where / "runs" / f"{'1' * 20}.json")
    (where / "runs" / f"{'2' * 20}.json").symlink_to("/etc/passwd")
    assert main(["show", str(where)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"Not finished: {done - lost} of 48 runs are done." in out
    assert f"2 files in runs/ are damaged: {'0' * 20}.json, {runs[0].name}." in out
    assert f"Process {2**30 - 1} on {socket.gethostname()} was ended there" in out
    (where / "study.toml").write_text("seeds = 0")
    assert main(["show", str(where)]) == 3
    assert "study.toml is no study's file (" in capsys.readouterr().err


def test_a_page_is_watched_until_ctrl_c(half, folder, capsys, monkeypatch):
    where, done = half
    seen = []

    def interrupted(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server_port, timeout=60)
        thread = threading.Thread(target=self.handle_request)
        thread.start()
        connection.request("GET", "/")
        seen.append(connection.getresponse().read().decode())
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(serve.Watched, "serve_forever", interrupted)
    before = tree(where), signal.getsignal(signal.SIGTERM)
    assert main(["watch", str(where)]) == 130
    out, err = capsys.readouterr()
    assert re.fullmatch(rf"{where}/report\.html is shown at http://127\.0\.0\.1:\d+/ until Ctrl-C\.\n", out)
    assert err == ""
    assert f"Not finished: {done} of 48 runs are done." in seen[0]  # there is no page yet
    assert main(["watch", str(folder)]) == 130
    assert "Question" not in seen[1]
    assert seen[1] == (folder / "report.html").read_text()
    assert before == (tree(where), signal.getsignal(signal.SIGTERM))


def test_what_cannot_be_watched_is_refused(folder, tmp_path, capsys):
    assert main(["watch", str(tmp_path)]) == 3
    assert "is no study's folder" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["watch", str(folder), "--port", str(port)]) == 2
        assert f"port {port} cannot be had (" in capsys.readouterr().err
    assert main(["watch", str(folder), "--port", "65536"]) == 2
    assert "expected 1 to 65535" in capsys.readouterr().err
