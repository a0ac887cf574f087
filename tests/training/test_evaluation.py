"""The loss and metrics of a split, in every mode and chunk, against torch and numpy on the whole split at once."""

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch.utils.data import Dataset, TensorDataset

from tapered import Workload, rules
from tapered.training import evaluation
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.capacity import row_bytes
from tapered.training.measures import measures, told
from tapered.training.rows import start, tabulate
from tapered.training.trees import TreeError

MODES = [LOOP, Mode("rows", 8, "a test"), Mode("rows compiled", 8, "a test")]
CHUNKS = [7, 64, 4096]
SEEDS = [3, 1, 4]
each = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.kind)
in_parts = pytest.mark.parametrize("chunk", CHUNKS)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def made(model, loss, x, y, **fields) -> Workload:
    data = TensorDataset(x, y)
    return Workload("mine", model, loss, data, data, batch_size=8, **fields)


def plain(workload: Workload, function) -> list[float]:
    """function(outputs, targets) of the whole split at once, for the initial weights of each seed."""
    found = []
    for seed in SEEDS:
        with torch.no_grad():
            outputs = workload.build(seed).eval()(workload.valid.tensors[0])
            found.append(float(function(outputs, workload.valid.tensors[1])))
    return found


def measured(workload: Workload, mode: Mode, name: str = "loss") -> list[float]:
    return [point[name] for point in evaluate(workload, start(workload, rules.Adam(), SEEDS), "valid", mode=mode)]


class Score:
    """Accuracy as torchmetrics has it: it remembers."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.right = self.count = 0

    def update(self, outputs, targets):
        self.right += int(((outputs > 0) == (targets > 0)).sum())
        self.count += len(targets)

    def compute(self):
        return torch.tensor(self.right / self.count)


def auc(outputs, targets):
    return roc_auc_score(targets.numpy(), outputs.numpy())


def f1(outputs, targets):
    return f1_score(targets.numpy(), (outputs > 0).numpy())


def correlation(outputs, targets):
    return torch.corrcoef(torch.stack([outputs, targets]))[0, 1]


def right(outputs, targets):
    return (outputs > 0) == (targets > 0)


def rare(**fields) -> Workload:
    """Sorted by class, 1 in 50: no chunk is like the whole."""
    y = torch.cat([torch.ones(10), torch.zeros(490)])
    metrics = {
        "f1": f1, "auc": auc, "correlation": correlation, "accuracy": right, "score": Score(), "class": Score,
        "mean": lambda o, t: right(o, t).double().mean(),
    }  # fmt: skip
    net = lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))  # noqa: E731
    x = draw(500, 4) + y[:, None]
    return made(net, binary_cross_entropy_with_logits, x, y, metrics=metrics, **fields)


@each
@in_parts
def test_metrics_are_of_the_whole_split(mode: Mode, chunk: int) -> None:
    workload = rare(eval_batch_size=chunk)
    for name, function in {"f1": f1, "auc": auc, "correlation": correlation}.items():
        assert measured(workload, mode, name) == pytest.approx(plain(workload, function), rel=1e-5)
    accuracy = plain(workload, lambda o, t: np.mean((o.numpy() > 0) == (t.numpy() > 0)))
    for name in ("accuracy", "score", "class", "mean"):
        assert measured(workload, mode, name) == pytest.approx(accuracy, rel=1e-6)
    assert measures(workload).each == {"accuracy"}
    assert workload.metrics["score"].count == 0  # the user's own object is not written


def dice(outputs, targets):
    p = outputs.sigmoid()
    return 1 - 2 * (p * targets).sum() / (p.sum() + targets.sum())


def contrastive(outputs, _):
    return cross_entropy(outputs @ outputs.T, torch.arange(len(outputs)))


def weighted(outputs, targets):
    return (
        binary_cross_entropy_with_logits(outputs, targets, weight=1 + 9 * targets)
        * len(targets)
        / (1 + 9 * targets).sum()
    )


@each
@in_parts
@pytest.mark.parametrize("loss", [dice, weighted, lambda o, t: (o - t).square().sum()])
def test_a_loss_that_is_no_mean_is_that_of_the_whole_split(loss, mode: Mode, chunk: int) -> None:
    workload = replace(rare(eval_batch_size=chunk), loss=loss, metrics={})
    assert measured(workload, mode) == pytest.approx(plain(workload, loss), rel=1e-5)
    assert not measures(workload).mean
    assert ["no mean over its examples" in line for line in told(workload)] == [True]


@each
def test_a_contrastive_loss_is_that_of_the_whole_split(mode: Mode) -> None:
    workload = made(lambda: nn.Linear(4, 8), contrastive, draw(60, 4), draw(60), eval_batch_size=16)
    assert measured(workload, mode) == pytest.approx(plain(workload, contrastive), rel=1e-5)


IGNORED = -100


class Tokens(nn.Module):
    """A score of each of 5 words at each of 6 places; the head starts from zero, where all losses are alike."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(5, 8), nn.Linear(8, 5)
        nn.init.zeros_(self.head.weight)

    def forward(self, words):
        return self.head(self.words(words))


def over_tokens(outputs, targets):
    return cross_entropy(outputs.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def padded(**fields) -> Workload:
    words = torch.randint(0, 5, (70, 6), generator=torch.Generator().manual_seed(0))
    lengths = 1 + torch.arange(70) % 6
    targets = words.roll(-1, 1).masked_fill(torch.arange(6) >= lengths[:, None], IGNORED)
    return made(Tokens, over_tokens, words, targets, **fields)


@each
@in_parts
@pytest.mark.parametrize("weight", [None, lambda targets: (targets != IGNORED).sum()])
def test_a_mean_over_tokens_is_weighted_right(weight, mode: Mode, chunk: int) -> None:
    workload = padded(weight=weight, eval_batch_size=chunk)
    rows = start(workload, rules.Adam(), SEEDS)
    rows = advance(workload, rows, [tabulate(rules.Adam(), 20, lr=0.05)] * 3, 20)
    wanted = []
    for row in range(3):
        model = workload.build(0)
        model.load_state_dict({name: p[row] for name, p in rows.params.items()})
        logits = model(workload.valid.tensors[0]).double().detach().numpy()
        targets = workload.valid.tensors[1].numpy()
        losses = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, targets.clip(0)[..., None], -1)[..., 0]
        wanted.append(losses[targets != IGNORED].mean())
    assert [p["loss"] for p in evaluate(workload, rows, "valid", mode=mode)] == pytest.approx(wanted, rel=1e-5)
    assert measures(workload).mean is (weight is not None)


@each
@in_parts
def test_another_loss_is_a_mean_by_weight_or_by_examples(mode: Mode, chunk: int) -> None:
    """Tokens are what the trained loss counts; the size of the scores is a mean over lines, their spread is none."""

    def objective(model, batch):
        scores = model(batch[0])
        return {"loss": over_tokens(scores, batch[1]), "size": scores.square().mean(), "spread": scores.std()}

    def two(model, batch):
        found = objective(model, batch)
        return {"loss": found["loss"], "size": found["size"]}

    tokens = padded(weight=lambda targets: (targets != IGNORED).sum(), eval_batch_size=chunk)
    fields = {"loss": None, "weight": lambda batch: (batch[1] != IGNORED).sum()}
    both = replace(tokens, objective=two, losses=("size",), **fields)
    rows = start(both, rules.Adam(), SEEDS)
    found, wanted = (evaluate(each, rows, "valid", mode=mode) for each in (both, tokens))
    scores = [both.build(seed)(both.valid.tensors[0]).double().square().mean().item() for seed in SEEDS]
    assert [each["loss"] for each in found] == pytest.approx([each["loss"] for each in wanted], rel=1e-6)
    assert [each["size"] for each in found] == pytest.approx(scores, rel=1e-6)
    assert measures(both).means == {"loss": True, "size": False}
    three = replace(both, objective=objective, losses=("size", "spread"), eval_batch_size=20)
    (said,) = told(three)
    assert said.startswith("The loss 'spread' of a batch is no weighted mean over its examples; on a split it was")
    with pytest.raises(TreeError, match=r"'spread' is no mean over examples.*weight=lambda batch"):
        evaluate(three, rows, "valid", mode=mode)


def test_a_chunk_without_weight_counts_for_nothing() -> None:
    workload = padded(weight=lambda targets: (targets != IGNORED).sum(), eval_batch_size=10)
    targets = workload.valid.tensors[1]
    targets[20:30] = IGNORED
    assert measured(workload, LOOP) == pytest.approx(plain(workload, over_tokens), rel=1e-5)
    targets[:] = IGNORED
    with pytest.raises(ValueError, match="add up to 0"):
        measured(workload, LOOP)
    with pytest.raises(ValueError, match=r"weight\(targets\) is -1"):
        measured(padded(weight=lambda _: -1.0), LOOP)


class Unknown:
    """An output that nothing can be said of."""

    def __init__(self, scores):
        self.scores = scores


class Heads(nn.Module):
    """Two heads, returned as `form` has it."""

    def __init__(self, form):
        super().__init__()
        self.body, self.a, self.b, self.form = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8), form

    def forward(self, x):
        h = torch.tanh(self.body(x))
        return self.form(self.a(h), self.b(h))


def two(form, get, **fields) -> Workload:
    def loss(outputs, targets):
        a, b = get(outputs)
        return mse_loss(a, targets) + mse_loss(b, -targets)

    x = draw(96, 4)
    return made(lambda: Heads(form), loss, x, x.repeat(1, 2), **fields)


def model_output(a, b):
    from transformers.modeling_outputs import SequenceClassifierOutput

    return SequenceClassifierOutput(logits=a, hidden_states=(b,))


FORMS = {
    "tuple": (lambda a, b: (a, b), lambda o: o),
    "list": (lambda a, b: [a, b], lambda o: o),
    "dict": (lambda a, b: {0: a, "b": b, "name": "two", "none": None}, lambda o: (o[0], o["b"])),
    "nested": (lambda a, b: {"x": [a, (b,)], "count": len(a) * 0 + 2}, lambda o: (o["x"][0], o["x"][1][0])),
    "table": (lambda a, b: (a, b, a @ a.T, b.mean()), lambda o: o[:2]),
    "sequence first": (lambda a, b: (a.T, b), lambda o: (o[0].T, o[1])),
    "ModelOutput": (model_output, lambda o: (o.logits, o.hidden_states[0])),
}


@each
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", [7, 4096])
def test_outputs_are_trees(form: str, mode: Mode, chunk: int) -> None:
    """Eight targets and eight rows, so that an element could pass for a row."""
    make, get = FORMS[form]
    reach = lambda o, _: max(float(part.max()) for part in get(o))  # noqa: E731 - of the whole split
    workload = two(make, get, metrics={"reach": reach}, eval_batch_size=chunk)
    assert measured(workload, mode) == pytest.approx(plain(workload, workload.loss), rel=1e-5)
    assert measured(workload, mode, "reach") == pytest.approx(plain(workload, reach), rel=1e-5)


def test_what_is_no_tree_is_evaluated_in_the_loop_alone() -> None:
    workload = replace(
        two(Unknown, lambda o: (o.scores, o.scores)), model=lambda: Heads(lambda a, _: Unknown(a)), eval_batch_size=7
    )
    assert measured(workload, LOOP) == pytest.approx(plain(workload, workload.loss), rel=1e-5)
    with pytest.raises(TreeError, match="returns a Unknown, which cannot be taken apart"):
        measured(workload, MODES[1])
    kept = replace(workload, metrics={"reach": lambda o, _: o.scores.max()})
    with pytest.raises(TreeError, match="returns a Unknown"):
        measured(kept, LOOP)


class Own(nn.Module):
    """A model with a loss of its own, as Transformers' are."""

    def __init__(self):
        super().__init__()
        self.inside = Tokens()
        nn.init.normal_(self.inside.head.weight)

    def forward(self, words):
        scores = self.inside(words)
        return {"loss": over_tokens(scores, words.masked_fill(words == 0, IGNORED)), "scores": scores}


@each
def test_a_loss_inside_the_model(mode: Mode) -> None:
    def right_words(outputs, targets):
        return (outputs["scores"].argmax(-1) == targets).double().mean()

    fields = {"eval_batch_size": 16, "metrics": {"right": right_words}}
    workload = replace(padded(**fields), model=Own, loss=lambda outputs, _: outputs["loss"])
    words = workload.valid.tensors[0]
    whole = replace(workload, valid=TensorDataset(words, words), weight=lambda words: (words != 0).sum())
    assert measured(whole, mode) == pytest.approx(plain(whole, whole.loss), rel=1e-5)
    assert measured(whole, mode, "right") == pytest.approx(plain(whole, right_words), rel=1e-6)
    with pytest.raises(TreeError, match=r"'loss' is no mean over examples.*its own loss.*weight=lambda"):
        measured(replace(whole, weight=None), mode)


FULL = [
    torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
]  # fmt: skip


@each
@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_where_memory_runs_out_less_is_evaluated_at_once(mode: Mode, error: Exception) -> None:
    sizes = []

    class Small(nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            if len(x) > 20:
                raise error
            return super().forward(x)

    workload = made(
        lambda: Small(4, 8), mse_loss, draw(100, 4), draw(100, 8), metrics={"each": lambda o, t: (o - t)[:, 0]}
    )
    wanted = plain(replace(workload, model=lambda: nn.Linear(4, 8)), mse_loss)
    assert measured(workload, mode) == pytest.approx(wanted, rel=1e-5)
    assert max(sizes) == 100
    with pytest.raises(type(error)):
        evaluation.fitting(3, lambda _: Small(4, 8)(draw(100, 4)))


def test_every_mode_evaluates_as_many_at_once() -> None:
    sizes = []

    class Seen(nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    pictures = made(lambda: Seen(16384, 8), mse_loss, draw(100, 16384), draw(100, 8))
    assert pictures.evaluation_batch == 32  # four minibatches
    for mode in MODES:
        sizes.clear()
        measured(pictures, mode)
        assert max(sizes) == 32
    assert replace(pictures, eval_batch_size=5).evaluation_batch == 5
    assert made(lambda: Seen(2, 8), mse_loss, draw(100, 2), draw(100, 8)).evaluation_batch == 65536 // 40


class Classes(Score):
    """A value for each class, as `average=None` gives."""

    def compute(self):
        return torch.tensor([0.9, 0.1])


@each
def test_what_a_metric_or_loss_must_return(mode: Mode) -> None:
    workload = rare()
    for value in (None, "high", torch.ones(3, 2)):
        with pytest.raises(TypeError, match=r"odd returned a .* in evaluation; expected one number, or one for each"):
            measured(replace(workload, metrics={"odd": lambda *_, v=value: v}), mode)
    for odd in (lambda *_: torch.ones(2), lambda *_: [0.5, 0.5, 0.5], Classes()):
        with pytest.raises(TypeError, match=r"shape \([23],\) in .* one for each example; of one for each class take"):
            measured(replace(workload, metrics={"odd": odd}), mode)
    with pytest.raises(TypeError, match=r"loss returned a tensor of shape \(500,\) in evaluation; expected a scalar"):
        measured(replace(workload, loss=lambda o, _: o, metrics={}), mode)


class Loud(Dataset):
    """Items with texts beside the numbers, which only a loop takes."""

    def __len__(self):
        return 30

    def __getitem__(self, i):
        return {"x": draw(30, 4)[i], "name": f"item {i}"}, float(i)


@each
def test_inputs_may_be_trees_where_they_are_evaluated(mode: Mode) -> None:
    class Reads(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs["x"])[:, 0]

    workload = Workload("mine", lambda: Reads(4, 1), mse_loss, Loud(), Loud(), batch_size=8, eval_batch_size=9)
    wanted = []
    for seed in SEEDS:
        model = workload.build(seed)
        outputs = nn.functional.linear(draw(30, 4), model.weight, model.bias)[:, 0]
        wanted.append(mse_loss(outputs, torch.arange(30.0)).item())
    assert measured(workload, mode) == pytest.approx(wanted, rel=1e-5)


@dataclass
class Scores:
    each: torch.Tensor
    features: torch.Tensor


@each
@in_parts
def test_outputs_may_be_a_dataclass(mode: Mode, chunk: int) -> None:
    class Returns(nn.Linear):
        def forward(self, inputs):
            found = super().forward(inputs)
            return Scores(found[:, 0], found)

    workload = made(
        lambda: Returns(4, 2), lambda o, t: mse_loss(o.each, t), draw(500, 4), draw(500),
        metrics={"f1": lambda o, t: f1(o.each, t > 0)}, eval_batch_size=chunk,
    )  # fmt: skip
    for name, function in {"loss": workload.loss, "f1": workload.metrics["f1"]}.items():
        assert measured(workload, mode, name) == pytest.approx(plain(workload, function), rel=1e-5)


def test_a_loss_that_is_a_mean_over_tokens_is_found_out_in_data_with_a_period() -> None:
    """Every fourth sentence is as long as the one four before, so that every so-manyth are alike."""
    lengths = torch.tensor([3, 5, 6, 4] * 16)
    targets = torch.where(torch.arange(6) < lengths[:, None], torch.arange(6) % 3, -100)

    def loss(outputs, targets):
        return cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=-100)

    workload = made(
        lambda: nn.Sequential(nn.Linear(4, 18), nn.Unflatten(1, (6, 3))), loss, draw(64, 4), targets, eval_batch_size=4
    )
    assert measured(workload, LOOP) == pytest.approx(plain(workload, loss), rel=1e-6)


def test_outputs_of_several_lengths_do_not_go_together() -> None:
    class Cuts(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs)[:, : 1 + int(inputs[0, 0] > 0)]

    workload = made(
        lambda: Cuts(4, 2), lambda o, _: o[:, 0].mean(), draw(500, 4), draw(500), eval_batch_size=1,
        metrics={"spread": lambda o, _: o.std()},
    )  # fmt: skip
    with pytest.raises(TypeError, match="'spread' is no mean over examples and is computed from all outputs"):
        measured(workload, LOOP)


def test_what_a_row_takes_is_estimated_where_torch_does_not_tell() -> None:
    class Slope(nn.Linear):
        def forward(self, inputs):
            return torch.func.vmap(torch.func.grad(lambda x: super(Slope, self).forward(x).tanh().sum()))(inputs)

    workload = made(lambda: Slope(4, 2), lambda o, _: o.square().mean(), draw(500, 4), draw(500))
    assert row_bytes(workload, rules.SGD()) > 8 * 4 * 4
    assert measured(workload, LOOP) == pytest.approx(measured(workload, MODES[1]), rel=1e-5)


class Noisy(Dataset):
    """Items that are drawn, by every shared generator."""

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return draw(64, 4)[i] + np.random.randn() + torch.randn(()), torch.tensor(random.random())  # noqa: NPY002


def test_a_mean_over_items_that_are_drawn_is_one() -> None:
    workload = Workload("mine", lambda: nn.Linear(4, 1), lambda o, t: mse_loss(o[:, 0], t), Noisy(), Noisy())
    assert measures(workload).mean
    assert list(told(workload)) == []


def test_what_chunks_have_each_by_itself_has_no_place_where_it_is_largest() -> None:
    def words(model, batch):  # as many as the targets that are there, in no axis of the examples
        x, there = batch[0], batch[1] > 0
        return model(x)[there], there[there].long()

    workload = Workload(
        "words", lambda: nn.Linear(4, 2), objective=lambda model, batch: model(batch[0]).square().mean(),
        predict=words, metrics={"right": lambda o, t: (o.argmax(-1) == t).float().mean()}, eval_batch_size=16,
        train=TensorDataset(draw(64, 4), draw(64)), valid=TensorDataset(draw(64, 4), draw(64)),
    )  # fmt: skip
    with pytest.raises(TreeError, match=r"'right' is no mean over examples.*eval_batch_size"):
        measured(workload, LOOP, "right")
