"""Problems as they are trained, beside plain torch loops: objectives, accumulation, clipping, groups."""

import copy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import Dataset, TensorDataset

import tapered
from tapered import rules
from tapered.attach import attach
from tapered.draws import seeded
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.recipe import Group, Recipe
from tapered.training.rows import start, tabulate
from tapered.training.shares import shares
from tapered.training.workload import Workload

ROWS = Mode("rows", 8, "a test")
COMPILED = Mode("rows compiled", 8, "a test")
STEPS, PEAK = 12, 0.05
PAD = -100


class Net(nn.Module):
    """BatchNorm, whose buffers move, two numbered blocks, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.embed = nn.BatchNorm1d(4), nn.Linear(4, 8)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2)])
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.embed(self.norm(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def data(count, seed, scale=1.0):
    x = scale * torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x.argmax(1) % 3)


def made(recipe=None, **fields):
    given = {"loss": cross_entropy} if "objective" not in fields else {}
    # so large that gradients are clipped now and then
    given |= {"name": "mine", "model": Net, "train": data(64, 0, 6.0), "valid": data(37, 1), "batch_size": 8}
    return Workload(**{**given, **fields}, recipe=recipe or Recipe())


ADAM = rules.Adam()


def trained(problem, mode=LOOP, *, rule=ADAM, seeds=(0, 1), until=(STEPS,), **hypers):
    path, rows = tabulate(rule, STEPS, lr=PEAK, **hypers), start(problem, rule, seeds)
    for step in until:
        rows = advance(problem, rows, [path] * len(rows), step, mode=mode)
    return rows


def by_hand(problem, seed, optimizer, step_of):
    """A plain loop over the documented minibatches."""
    with seeded(seed, "model"):
        model = problem.model()
    model.train()
    made_of = optimizer(model)
    for step in range(STEPS):
        with seeded(seed, "step", step):
            made_of.zero_grad()
            step_of(model, problem.batch(seed, step))
            made_of.step()
    return model


def adam(model, **options):
    return torch.optim.Adam(model.parameters(), lr=PEAK, **options)


def backward(problem, model, indices, share=1.0):
    inputs, targets = problem.train.tensors
    (cross_entropy(model(inputs[indices]), targets[indices]) * share).backward()


def assert_near(rows, models, tolerance=1e-5):
    for row, model in enumerate(models):
        for name, tensor in {**dict(model.named_parameters()), **dict(model.named_buffers())}.items():
            mine = (rows.params | rows.buffers)[name][row]
            assert torch.allclose(mine.double(), tensor.double(), rtol=tolerance, atol=tolerance), name


@pytest.mark.parametrize("mode", [LOOP, ROWS, COMPILED], ids=lambda mode: mode.kind)
@pytest.mark.parametrize("recipe", [Recipe(clip_norm=0.3), Recipe(clip_value=0.02)], ids=["norm", "value"])
def test_clipping_is_torchs(recipe, mode):
    problem, clipped = made(recipe), []

    def step(model, indices):
        backward(problem, model, indices)
        before = [p.grad.clone() for p in model.parameters()]
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        else:
            nn.utils.clip_grad_value_(model.parameters(), 0.02)
        clipped.append(any(not torch.equal(a, p.grad) for a, p in zip(before, model.parameters(), strict=True)))

    models = [by_hand(problem, seed, adam, step) for seed in (0, 1)]
    assert any(clipped)
    assert not recipe.clip_norm or not all(clipped)
    assert_near(trained(problem, mode), models, 1e-4 if recipe.clip_value else 1e-5)


@pytest.mark.parametrize("mode", [LOOP, ROWS, COMPILED], ids=lambda mode: mode.kind)
def test_accumulated_minibatches_are_one_step(mode):
    problem = made(Recipe(accumulate=4), batch_size=4)
    assert (problem.steps_per_epoch, problem.step_size, problem.epochs_to_steps(2)) == (4, 16, 8)

    def step(model, indices):
        for part in indices.split(4):
            backward(problem, model, part, 1 / 4)

    assert_near(trained(problem, mode), [by_hand(problem, seed, adam, step) for seed in (0, 1)])


def tokens(outputs, targets):
    return cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=PAD)


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(9, 6), nn.Linear(6, 3)

    def forward(self, ids):
        return self.out(self.words(ids).tanh())


def sentences(count, seed):
    of = torch.Generator().manual_seed(seed)
    ids = torch.randint(9, (count, 5), generator=of)
    lengths = torch.randint(1, 6, (count, 1), generator=of)
    return TensorDataset(ids, torch.where(torch.arange(5) < lengths, ids % 3, PAD))


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
def test_accumulated_tokens_weigh_alike(mode):
    """The mean over all tokens of a step, however they fall into minibatches."""
    problem = made(
        Recipe(accumulate=4), batch_size=2, model=Tagger, loss=tokens, train=sentences(64, 0), valid=sentences(16, 1),
        weight=lambda targets: (targets != PAD).sum(),
    )  # fmt: skip

    def step(model, indices):
        ids, targets = problem.train.tensors
        tokens(model(ids[indices]), targets[indices]).backward()

    rows = trained(problem, mode)
    assert_near(rows, [by_hand(problem, seed, adam, step) for seed in (0, 1)])
    whole = replace(problem, batch_size=8, recipe=Recipe())
    losses = [[loss for _, loss in trained(of, mode).losses[0]] for of in (problem, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


GROUPS = (
    Group(["*.bias", "norm.weight"], hypers={"weight_decay": 0.0}),
    Group("embed.weight", lr=0.1),
    Group(lambda name: name == "head.weight", lr=3, hypers={"beta1": 0.5}),
)


@pytest.mark.parametrize("mode", [LOOP, ROWS, COMPILED], ids=lambda mode: mode.kind)
def test_groups_have_hypers_of_their_own(mode):
    problem, rule = made(Recipe(groups=GROUPS)), rules.Adam(decay="decoupled")

    def grouped(model):
        named = dict(model.named_parameters())
        plain = [name for name in named if name.endswith("bias") or name == "norm.weight"]
        rest = [name for name in named if name not in (*plain, "embed.weight", "head.weight")]
        return torch.optim.AdamW(
            [
                {"params": [named[name] for name in rest]},
                {"params": [named[name] for name in plain], "weight_decay": 0.0},
                {"params": [named["embed.weight"]], "lr": 0.1 * PEAK},
                {"params": [named["head.weight"]], "lr": 3 * PEAK, "betas": (0.5, 0.999)},
            ],
            lr=PEAK,
            weight_decay=0.1,
        )

    models = [by_hand(problem, seed, grouped, partial(backward, problem)) for seed in (0, 1)]
    assert_near(trained(problem, mode, rule=rule, weight_decay=0.1), models, 1e-4)


def test_the_rate_falls_from_layer_to_layer():
    names = [name for name, _ in Net().named_parameters()]
    found = {name: share.lr for share in shares(Recipe(layer_decay=0.5), names) for name in share.names}
    expected = {"embed.weight": 0.125, "blocks.0.0.weight": 0.25, "blocks.1.0.bias": 0.5, "head.bias": 1.0}
    assert {name: found[name] for name in expected} == expected
    flat = {s.names[0]: s.lr for s in shares(Recipe(layer_decay=0.5), ["0.weight", "1.weight", "2.weight"])}
    assert flat == {"0.weight": 0.25, "1.weight": 0.5, "2.weight": 1.0}  # the last one is the head
    both = Recipe(layer_decay=0.5, groups=[Group("embed.*", lr=0.1)])
    assert {s.names[0]: s.lr for s in shares(both, names)}["embed.weight"] == pytest.approx(0.0125)


@pytest.mark.parametrize("ours", [True, False], ids=["tapered", "attached"])
def test_groups_of_a_recipe_are_any_optimizers(ours):
    """Against torch's AdamW, whose groups have rates by hand."""
    recipe = Recipe(layer_decay=0.5, groups=[Group("*.bias", hypers={"weight_decay": 0.0})])
    rate, models = (
        tapered.cosine_decay(0.1, decay_steps=8),
        [torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(3)])],
    )
    models.append(copy.deepcopy(models[0]))
    groups = recipe.param_groups(models[0])
    if ours:
        optimizer = tapered.AdamW(groups, lr=rate)
    else:
        optimizer = torch.optim.AdamW(groups, lr=0.1)
        attach(optimizer, lr=rate)
    names = [
        ("0.weight", 0.25),
        ("0.bias", 0.25),
        ("1.weight", 0.5),
        ("1.bias", 0.5),
        ("2.weight", 1.0),
        ("2.bias", 1.0),
    ]
    named = dict(models[1].named_parameters())
    plain = torch.optim.AdamW(
        [{"params": [named[name]], "weight_decay": 0.0 if "bias" in name else 0.01} for name, _ in names], lr=0.1
    )
    for step in range(6):
        for group, (_, factor) in zip(plain.param_groups, names, strict=True):
            group["lr"] = rate(step) * factor
        for model, each in zip(models, (optimizer, plain), strict=True):
            each.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            each.step()
    torch.testing.assert_close([*models[0].parameters()], [*models[1].parameters()], rtol=1e-5, atol=1e-6)


def test_a_part_of_a_pair_is_no_key_of_a_group():
    with pytest.raises(ValueError, match="sets 'beta1' alone"):
        Recipe(groups=[Group("0.*", hypers={"beta1": 0.5})]).param_groups(torch.nn.Sequential(torch.nn.Linear(1, 1)))


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"groups": [Group("head.*"), Group("*.bias")]}, "the parameter 'head.bias' is in the groups 'head.\\*' and"),
        (
            {"groups": [Group("decoder.*")]},
            "no parameter is in the group 'decoder.\\*'; expected patterns of norm.weight, norm",
        ),
        ({"groups": [Group("head.*", hypers={"momentum": 0.9})]}, "a group sets 'momentum', which the rule does not"),
        ({"groups": [Group("head.*", hypers={"beta1": 1.5})]}, "got beta1=1.5"),
    ],
)
def test_groups_that_fit_no_parameters_or_no_rule_are_refused_before_anything_is_trained(recipe, said):
    with pytest.raises(ValueError, match=said):
        start(made(Recipe(**recipe)), rules.Adam(), [0])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"clip_norm": 0}, "got clip_norm=0; expected a positive number"),
        ({"clip_norm": True}, "got clip_norm=True"),
        ({"clip_value": float("nan")}, "got clip_value=nan"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, "expected one of them"),
        ({"accumulate": 0}, "got accumulate=0; expected a whole number >= 1"),
        ({"accumulate": 2.0}, "got accumulate=2.0"),
        ({"layer_decay": -1}, "got layer_decay=-1"),
        ({"groups": [{"match": "*"}]}, "expected Groups"),
        ({"clipnorm": 1.0}, "'clipnorm' is no field of a Recipe; try \"clip_norm\""),
    ],
)
def test_a_recipe_refuses_what_is_none(fields, said):
    with pytest.raises((TypeError, ValueError), match=said):
        Recipe(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"match": ()}, "expected patterns"),
        ({"match": "*", "lr": "0.1"}, "got lr='0.1' for the group \\*"),
        ({"match": "*", "lr": -1.0}, "got lr=-1.0"),
        ({"match": "*", "hypers": {"beta1": None}}, "got beta1=None"),
    ],
)
def test_a_group_refuses_what_is_none(fields, said):
    with pytest.raises((TypeError, ValueError), match=said):
        Group(**fields)


def test_complex_numbers_have_no_largest_element():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(4, 3, dtype=torch.complex64))

    with pytest.raises(ValueError, match=r"clip_value=0\.1, and the parameter 'w' is complex; .* try clip_norm"):
        start(made(Recipe(clip_value=0.1), model=Complex), rules.SGD(), [0])


class Dicts(Dataset):
    """Items of several lengths, as tokenisers make them."""

    def __init__(self, count, seed):
        of = torch.Generator().manual_seed(seed)
        lengths = torch.randint(1, 6, (count,), generator=of).tolist()
        self.items = [{"ids": torch.randint(9, (n,), generator=of)} for n in lengths]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@dataclass
class Batch:
    ids: torch.Tensor
    mask: torch.Tensor


def padded(items):
    ids = nn.utils.rnn.pad_sequence([item["ids"] for item in items], batch_first=True)
    lengths = torch.tensor([len(item["ids"]) for item in items])
    return Batch(ids, torch.arange(ids.shape[1]) < lengths[:, None])


def to_one_length(items):
    """As rows take them: minibatches of several lengths do not go through one program."""
    batch = padded([*items, {"ids": torch.zeros(5, dtype=torch.int64)}])
    return Batch(batch.ids[:-1], batch.mask[:-1])


class Language(Tagger):
    """A model that computes its own loss, beside a term of its own."""

    def forward(self, batch):
        scores = super().forward(batch.ids)
        targets = torch.where(batch.mask, batch.ids % 3, PAD)
        return scores, targets, tokens(scores, targets)


def objective(model, batch):
    scores, _, loss = model(batch)
    size = (scores.square().sum(-1) * batch.mask).sum() / batch.mask.sum()
    return {"loss": loss + 0.1 * size, "entropy": loss, "size": size}


def correct(outputs, targets):
    return ((outputs.argmax(-1) == targets) & (targets != PAD)).sum(1).double()


def language(mode=LOOP, **fields):
    collate = padded if mode == LOOP else to_one_length
    return made(
        model=Language, objective=objective, losses=("entropy", "size"), collate=collate, train=Dicts(64, 0),
        valid=Dicts(23, 1), weight=lambda batch: batch.mask.sum(), metrics={"right": correct}, eval_batch_size=7,
        predict=lambda model, batch: model(batch)[:2], **fields,
    )  # fmt: skip


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
def test_an_objective_is_trained_and_all_that_it_says_is_recorded(mode):
    problem = language(mode)

    def step(model, indices):
        objective(model, padded([problem.train[i] for i in indices.tolist()]))["loss"].backward()

    models = [by_hand(problem, seed, adam, step) for seed in (0, 1)]
    rows = trained(problem, mode)
    assert_near(rows, models)
    for point, model in zip(evaluate(problem, rows, "valid", mode=mode), models, strict=True):
        whole = padded(list(problem.valid.items))
        with torch.no_grad():
            said = objective(model.eval(), whole)
            right = correct(*model(whole)[:2]).mean()
        assert point == pytest.approx({name: float(v) for name, v in {**said, "right": right}.items()}, rel=1e-5)


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
@pytest.mark.parametrize("kind", ["clipped", "objective"])
def test_a_run_that_is_stopped_and_gone_on_with_has_the_same_bits(kind, mode):
    if kind == "clipped":
        problem = made(Recipe(clip_norm=0.3, accumulate=2, groups=GROUPS), batch_size=4)
    else:
        problem = language(mode, recipe=Recipe(accumulate=2, clip_value=0.1))
    whole, parts = (trained(problem, mode, until=until) for until in ((STEPS,), (1, 5, STEPS)))
    assert whole.losses == parts.losses
    for name in whole.params:
        assert torch.equal(whole.params[name], parts.params[name])


def squares(model, batch):
    """u'' = -u by derivatives of the network."""
    (x,) = batch
    x = x.requires_grad_()
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
    return (bend + u).square().mean()


def test_an_objective_of_derivatives_is_evaluated_with_them():
    def net():
        return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def places(count, seed):
        return TensorDataset(torch.rand(count, 1, generator=torch.Generator().manual_seed(seed)))

    def step(model, indices):
        squares(model, (problem.train.tensors[0][indices],)).backward()

    problem = made(
        model=net, objective=squares, train=places(64, 0), valid=places(20, 1), derivatives=True,
        metrics={"mean": mean}, predict=lambda model, batch: (model(batch[0]), batch[0]),
    )  # fmt: skip
    rows, models = trained(problem), [by_hand(problem, seed, adam, step) for seed in (0, 1)]
    assert_near(rows, models)
    (x,) = problem.valid.tensors
    found = evaluate(problem, rows, "valid")[0]
    assert found["loss"] == pytest.approx(squares(models[0], (x.clone(),)).item(), rel=1e-5)
    assert found["mean"] == pytest.approx(models[0](x).mean().item(), rel=1e-4)


def mean(outputs, _):
    return outputs[:, 0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"loss": mse_loss}, "got a loss and an objective; expected one of them"),
        ({"objective": None}, "got losses and no objective|no loss; expected one of them"),
        ({"predict": None}, "got metrics of an objective, and nothing says what they are of"),
        ({"losses": ("loss",)}, "expected names of what objective returns"),
        ({"objective": 3}, "expected a function of model and batch"),
        ({"collate": 3}, "got collate=3; expected a function"),
        ({"recipe": {"clip_norm": 1.0}}, "expected a Recipe"),
    ],
)
def test_what_does_not_go_with_an_objective_is_refused(fields, said):
    with pytest.raises(TypeError, match=said):
        replace(language(), **fields)


@pytest.mark.parametrize("names", [(), ("entropy",), ("entropy", "size", "more")])
def test_losses_that_are_not_as_named_are_refused_with_what_to_write(names):
    with pytest.raises(ValueError, match=r"expected .*; try losses=\['entropy', 'size'\]"):
        trained(replace(language(), losses=names))


def test_a_recipe_is_part_of_what_numbers_depend_on():
    plain = made().fingerprints()
    assert made(Recipe()).fingerprints() == plain
    for recipe in (Recipe(clip_norm=1.0), Recipe(accumulate=2), Recipe(groups=[Group("head.*", lr=0.1)])):
        assert made(recipe).fingerprints()["batches"] != plain["batches"]


def test_numpys_numbers_are_numbers():
    assert Recipe(clip_norm=np.float64(1.0)).clip_norm == 1.0


def test_batches_of_transformers_go_through_every_mode():
    """BatchEncoding is a dict of its own kind."""
    from transformers import BatchEncoding

    def encoded(items):
        ids = torch.stack(items)
        return BatchEncoding({"ids": ids, "labels": ids % 3})

    def scored(model, batch):
        return tokens(model(batch["ids"]), batch.labels)

    ids = list(torch.randint(9, (48, 5), generator=torch.Generator().manual_seed(0)))
    problem = made(model=Tagger, objective=scored, collate=encoded, train=ids[:32], valid=ids[32:])
    alone, together = trained(problem), trained(problem, ROWS)
    for name in alone.params:
        assert torch.allclose(alone.params[name], together.params[name], rtol=1e-5, atol=1e-6)
    found = [evaluate(problem, alone, "valid", mode=mode)[0]["loss"] for mode in (LOOP, ROWS)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert type(problem.placed((encoded(ids[:2]), None))[0]) is BatchEncoding
