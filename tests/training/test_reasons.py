"""What cannot be done is said in words: what, why, what to write; a mode that is asked for is taken or refused."""

from dataclasses import replace

import pytest
import torch
from models import perceptron
from study_cases import planned
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import TensorDataset

from tapered import Workload, rules
from tapered.study import open_store, train_runs, verify
from tapered.study.train.grow import RunError
from tapered.training import modes
from tapered.training.advance import Mode, evaluated
from tapered.training.probe import Probe
from tapered.workloads.own import StudyFileError

FILE = """name = "mine"
workload = "model.py:problem"
steps = 4
seeds = 2
evaluations = 2
baseline = "a"
peaks = {{ low = 0.01, high = 0.1, count = 2 }}
{more}
[[arms]]
name = "a"
rule = "Adam"
lr = "constant(1.0)"
"""
HEAD = """import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from tapered import Workload
x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
data = TensorDataset(x, x.sin())
def problem(model=lambda: nn.Linear(4, 4), loss=nn.functional.mse_loss, train=data, valid=data, **more):
    return Workload("mine", model, loss, train, valid, batch_size=8, **more)
"""


def study(folder, body: str = "", more: str = ""):
    (folder / "model.py").write_text(HEAD + body)
    (folder / "mine.toml").write_text(FILE.format(more=more))
    return planned(str(folder / "mine.toml"))


def trained(folder, body: str = "", more: str = "") -> dict[str, Mode]:
    loaded = study(folder, body, more)
    with open_store(loaded, folder / "store") as store:
        train_runs(loaded, store)
        return dict(store.modes)


UNEVEN = """
class Uneven(Dataset):
    def __len__(self): return 64
    def __getitem__(self, i): return torch.ones(1 + i % 3), 0.0
problem = problem(train=Uneven(), valid=Uneven())
"""
PHYSICS = """
class Field(nn.Linear):
    def forward(self, x):
        {guard}
            x = x.detach().requires_grad_()
            y = super().forward(x).tanh()
            slope, = torch.autograd.grad(y.sum(), x, create_graph=True)
        return y + slope
problem = problem(model=lambda: Field(4, 4))
"""
NAMED = """
class Named(Dataset):
    def __len__(self): return 64
    def __getitem__(self, i): return {{"x": x[i]}}, x[i].sin()
{model}
problem = problem(train=Named(), valid=Named(), model=lambda: Net(4, 4))
"""
PLAIN_NET = "Net = nn.Linear"
OBJECT = """
class Out:
    def __init__(self, y): self.y = y
class Net(nn.Linear):
    def forward(self, x): return Out(super().forward(x))
problem = problem(model=lambda: Net(4, 4), loss=lambda o, t: nn.functional.mse_loss(o.y, t))
"""
TEXTS = """
class Texts(Dataset):
    def __len__(self): return 64
    def __getitem__(self, i): return x[i], "a" * (i % 4)
def loss(outputs, targets): return (outputs.mean(1) - torch.tensor([float(len(t)) for t in targets])).square().mean()
problem = problem(train=Texts(), valid=Texts(), loss=loss)
"""
LSTM = """
class Net(nn.LSTM):
    def forward(self, x): return super().forward(x[:, None])[0][:, 0]
problem = problem(model=lambda: Net(4, 4, batch_first=True))
"""
PACKED = """
class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRU(1, 4, batch_first=True)
    def forward(self, x):
        lengths = 1 + (x[:, 0] > 0).long()
        packed = nn.utils.rnn.pack_padded_sequence(x[..., None], lengths, batch_first=True, enforce_sorted=False)
        return self.cell(packed)[1][-1]
problem = problem(model=Packed)
"""
READING_NET = """
class Net(nn.Linear):
    def forward(self, inputs): return super().forward(inputs["x"])
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (UNEVEN, "several shapes.*pad each to one length.*mask"),
        (PHYSICS.format(guard="if True:"), r"evaluation takes no gradients.*with torch\.enable_grad\(\):"),
        (NAMED.format(model=PLAIN_NET), r"one argument.*forward\(self, inputs\)"),
        (
            "problem = problem(model=lambda: nn.LazyLinear(4))",
            "'weight' of the model has no shape yet.*lazy.*input's size",
        ),
        (
            "problem = problem(model=lambda: nn.Sequential(nn.Embedding(3, 4, sparse=True), nn.Linear(4, 4)))",
            r"layer '0' .*sparse gradients.*try Embedding\(\.\.\., sparse=False\)",
        ),
    ],
)
def test_what_cannot_be_trained_is_told_in_words(tmp_path, body, said) -> None:
    with pytest.raises((RunError, TypeError, ValueError), match=f"(?s){said}"):
        trained(tmp_path, body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (PHYSICS.format(guard="with torch.enable_grad():"), "takes gradients of its own by autograd"),
        (NAMED.format(model=READING_NET).replace("x[i]}", "x[i], 'name': str(i)}"), "its input holds a str"),
        ("problem = problem(model=lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)))", "draws random numbers"),
        (
            OBJECT,
            "returns a Out, which cannot be taken apart",
        ),
        (TEXTS, "its target holds a str, and rows take tensors"),
        (PACKED, "tensors of another size for each row, as pack_padded_sequence does; a mask"),
        (LSTM, "has no rule for torch's lstm, which"),
        (
            "problem = problem(model=lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)))",
            "writes into a tensor in place",
        ),
    ],
)
def test_what_rows_cannot_do_goes_to_the_loop_for_a_reason_in_words(tmp_path, body, reason) -> None:
    (mode,) = trained(tmp_path, body).values()
    assert mode.kind == "loop"
    assert reason in mode.reason
    assert "Error" not in mode.reason
    (tmp_path / "again").mkdir()
    with pytest.raises(modes.ModeError, match=rf'mode = "rows" cannot be taken, since .*{reason}.*try mode = "loop"'):
        trained(tmp_path / "again", body, 'mode = "rows"')


@pytest.mark.parametrize("kind", ["loop", "rows", "rows compiled"])
def test_the_mode_that_is_asked_for_is_taken_and_frozen(tmp_path, kind) -> None:
    (mode,) = trained(tmp_path, "problem = problem()", f'mode = "{kind}"').values()
    assert (mode.kind, mode.reason) == (kind, "asked for")
    with pytest.raises(Exception, match=r"study\.mode"):
        trained(tmp_path, "problem = problem()", 'mode = "auto"')


def test_an_unknown_mode_or_field_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(StudyFileError, match=r"mode: got 'row'; expected .*rows compiled"):
        study(tmp_path, "problem = problem()", 'mode = "row"')
    with pytest.raises(StudyFileError, match='metrik is no field of a study; try "metric"'):
        study(tmp_path, "problem = problem()", 'metrik = "loss"')
    with pytest.raises(StudyFileError, match="gpu: it is written device = "):
        study(tmp_path, "problem = problem()", "gpu = true")
    with pytest.raises(TypeError, match="'gpu' is no field of a Workload; expected one of name, model"):
        replace(perceptron(), gpu=True)
    with pytest.raises(TypeError, match="'metric' is no field of a Workload; try \"metrics\""):
        Workload("mine", metric=len)


def test_a_model_that_is_evaluated_otherwise_when_stacked_goes_to_the_loop() -> None:
    """Under vmap it sees one row's parameters, and in evaluation adds what only the stacked ones show."""

    class Sly(nn.Linear):
        def forward(self, x):
            stacked = torch._C._functorch.is_batchedtensor(self.weight)
            return super().forward(x) + (0.1 if stacked and not self.training else 0.0)

    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, x.sin())
    workload = Workload("sly", lambda: Sly(8, 8), mse_loss, data, data, batch_size=8)
    found = modes.choose(workload, rules.Adam(), rows=16, steps=100)
    assert found.kind == "loop"
    assert found.reason.startswith("stacked, loss is another than alone (by ")


@pytest.mark.parametrize(("steps", "traced"), [(200, False), (400, True)])
def test_the_probe_times_what_the_run_does(monkeypatch, steps, traced) -> None:
    """A run of more than 256 steps is traced, however often it is evaluated on the way."""
    from tapered.training import stack
    from tapered.training.advance import advance
    from tapered.training.rows import start, tabulate

    seen, make = [], stack.make
    monkeypatch.setattr(
        stack, "make", lambda workload, rule, width, how: seen.append(how) or make(workload, rule, width, how)
    )
    Probe(perceptron(), rules.SGD(), steps).seconds(Mode("rows", 8, ""), 8)
    probed = set(seen)
    seen.clear()
    rows, path = start(perceptron(), rules.SGD(), range(8)), tabulate(rules.SGD(), steps, lr=0.1)
    for mark in (5, 10):
        rows = advance(perceptron(), rows, [path] * 8, mark, mode=Mode("rows", 8, ""))
    assert probed == set(seen) == {"traced" if traced else "plain"}


@pytest.mark.parametrize("broken", [None, "rows", "loop"])
def test_verify_compares_evaluations(tmp_path, monkeypatch, broken) -> None:
    """With those kept, bit by bit, and with an ordinary loop's."""
    loaded = study(tmp_path, "problem = problem()", 'mode = "rows"')

    def off(workload, rows, *, mode):
        return [{"loss": p["loss"] + (mode.kind == broken) / 4} for p in evaluated(workload, rows, mode=mode)]

    with open_store(loaded, tmp_path / "store") as store:
        runs = train_runs(loaded, store)
        monkeypatch.setattr("tapered.study.train.verify.evaluated", off)
        said = verify(loaded, store, runs)
    assert (said.runs, said.difference) == (4, 0)
    assert said.evaluations == pytest.approx(0.25 if broken == "rows" else 0, rel=1e-6)
    assert (said.from_loop > 0.01) is (broken == "loop")
    assert said.same is (broken is None)
