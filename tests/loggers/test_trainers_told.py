"""Lightning's and transformers' own trainers tell a log: every rate and loss at the update that used it."""

import csv
import importlib.util
import types
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import tapered
from tapered.attach import as_lr_scheduler
from tapered.loggers import log_to
from tapered.loggers.lightning import Telling

STEPS, EVERY = 6, 2
lightning = pytest.mark.skipif(importlib.util.find_spec("lightning") is None, reason="pip install lightning")
transformers = pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="pip install accelerate")


def rate(step, peak=0.5):
    """Its closed form."""
    return peak * (1 - step / 8)


class Used:
    """The rates that updates used, as the weights moved: the gradient of each is 1."""

    def __init__(self):
        self.weights = [nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(2)]
        self.last, self.rates = [0.0, 0.0], []

    def loss(self):
        now = [weight.item() for weight in self.weights]
        if now != self.last:
            self.rates.append([before - after for before, after in zip(self.last, now, strict=True)])
            self.last = now
        return sum(self.weights)


def groups(weights):
    """Two, of which the second has a name and half the rate."""
    return [{"params": [weights[0]]}, {"params": [weights[1]], "name": "head", "lr": tapered.linear(0.25, steps=8)}]


def optimizers(weights, kind):
    """tapered's, or torch's under a scheduler of torch's."""
    if kind == "tapered":
        return tapered.SGD(groups(weights), lr=tapered.linear(0.5, steps=8)), None
    own = [{"params": [weights[0]]}, {"params": [weights[1]], "name": "head", "lr": 0.25}]
    optimizer = torch.optim.SGD(own, lr=0.5)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / 8)


def check(told, used, steps):
    """At k + 1 updates stands the rate of update k, measured, which is the closed form."""
    assert used.rates[0] == [0.5, 0.25]
    rates = [(step, values["lr/0"], values["lr/head"]) for step, values in told if "lr/0" in values]
    assert [step for step, _, _ in rates] == steps
    for step, body, head in rates:
        assert (body, head) == (pytest.approx(rate(step - 1)), pytest.approx(rate(step - 1, 0.25)))
        if step <= len(used.rates):
            assert [body, head] == pytest.approx(used.rates[step - 1])


def fit(tmp_path, kind, log, used, own, **more):
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.loggers import CSVLogger

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList(used.weights)

        def training_step(self, batch, _):
            loss = used.loss() + 0 * batch.sum()
            self.log("train_loss", loss, on_step=False, on_epoch=True)  # a mean over the epoch: no update's
            return loss

        def validation_step(self, batch, _):
            self.log("val_loss", sum(self.weights) + 0 * batch.sum())

        def configure_optimizers(self):
            optimizer, scheduler = optimizers(self.weights, kind)
            if scheduler is None:
                return optimizer
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    logger = CSVLogger(tmp_path, version=0)
    options = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    loader = torch.utils.data.DataLoader(torch.zeros(STEPS, 1, dtype=torch.float64))
    trainer = Trainer(
        max_epochs=1, logger=logger, log_every_n_steps=EVERY, callbacks=[log.lightning_callback(own=own)],
        accelerator="cpu", **options, **more,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, of few workers
        trainer.fit(Module(), loader, loader)
    return trainer, logger


@lightning
@pytest.mark.parametrize("kind", ["tapered", "torch"])
def test_lightnings_losses_and_rates_are_those_of_one_update(tmp_path, kind):
    used, told = Used(), []
    with log_to(lambda *said: told.append(said)) as log:
        fit(tmp_path, kind, log, used, own=False, num_sanity_val_steps=1)
    check(told, used, [2, 4, 6])
    before = [0.0, *(sum(map(sum, used.rates[:k])) * -1 for k in range(1, STEPS))]
    losses = [(step, values["train/loss"]) for step, values in told if "train/loss" in values]
    assert losses == [(step, pytest.approx(before[step - 1])) for step in (2, 4, 6)]
    final = -sum(rate(k) + rate(k, 0.25) for k in range(STEPS))
    assert [(step, values) for step, values in told if "valid/loss" in values] == [
        (6, {"valid/loss": pytest.approx(final)})
    ]
    assert not (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().count("lr/")


@lightning
def test_lightnings_own_loggers_have_them_at_their_own_steps(tmp_path):
    used = Used()
    _, logger = fit(tmp_path, "tapered", log_to(), used, own=True, accumulate_grad_batches=1)
    text = Path(logger.log_dir, "metrics.csv").read_text()
    rows = [row for row in csv.DictReader(text.splitlines()) if row["lr/0"]]
    # Lightning counts updates from 0 in its logs: at step k stands update k
    assert [int(row["step"]) for row in rows] == [1, 3, 5]
    for row in rows:
        step = int(row["step"])
        assert (float(row["lr/0"]), float(row["lr/head"])) == pytest.approx((rate(step), rate(step, 0.25)))
        assert float(row["train/loss"]) == pytest.approx(-sum(map(sum, used.rates[:step])))


@lightning
def test_a_logger_that_raises_is_dropped_and_lightning_trains_on(tmp_path):
    def broken(*_):
        raise OSError("gone")

    lost, used = [], Used()
    with log_to(broken, lost=lost.append) as log:
        trainer, _ = fit(tmp_path, "tapered", log, used, own=False)
    assert trainer.global_step == STEPS
    assert len(lost) == 1


class Double:
    """Lightning's Trainer as its callbacks see it: the scheduler has stepped, and the batch is not counted yet."""

    log_every_n_steps, sanity_checking, should_stop = EVERY, False, False

    def __init__(self, used, kind):
        self.global_step, self.used, self.module = 0, used, types.SimpleNamespace(log_dict=self.shown)
        pair = optimizers(used.weights, kind)
        self.optimizers, self.scheduler, self.logged = [pair[0]], pair[1], []

    def shown(self, values, *, on_step, on_epoch):
        assert (on_step, on_epoch) == (True, False)
        self.logged.append((self.global_step - 1, values))

    def fit(self, callback, skipped=()):
        callback.on_train_start(self, self.module)
        for k in range(STEPS):
            loss = self.used.loss()
            loss.backward()
            if k not in skipped:
                self.optimizers[0].step()
            self.optimizers[0].zero_grad()
            self.global_step += 1
            if self.scheduler is not None:
                self.scheduler.step()
            callback.on_train_batch_end(self, self.module, {"loss": loss.detach()}, None, 0)
        self.callback_metrics = {
            "val_loss": torch.tensor(0.5),
            "train_loss": torch.tensor(9.0),
            "lr/0": torch.tensor(9.0),
        }
        callback.on_validation_end(self, self.module)
        callback.on_train_end(self, self.module)


@pytest.mark.parametrize("kind", ["tapered", "torch"])
def test_a_trainer_with_lightnings_order_of_calls(kind):
    used, told = Used(), []
    trainer = Double(used, kind)
    with log_to(lambda *said: told.append(said)) as log:
        trainer.fit(Telling(log.heard(), own=True))
    check(told, used, [2, 4, 6])
    assert told[-1] == (6, {"valid/loss": 0.5})
    assert [step for step, _ in trainer.logged] == [*range(STEPS)]
    assert [values["lr/0"] for _, values in trainer.logged] == pytest.approx([rate(k) for k in range(STEPS)])
    [optimizer] = trainer.optimizers
    assert not optimizer._optimizer_step_post_hooks  # it is let go


def test_a_step_that_a_scaler_skips_has_no_rate():
    told = []
    with log_to(lambda *said: told.append(said)) as log:
        Double(Used(), "tapered").fit(Telling(log.heard(), own=False), skipped={3})
    rates = [(step, values["lr/0"]) for step, values in told if "lr/0" in values]
    assert rates == [(2, rate(1)), (6, rate(4))]  # the sixth batch makes the fifth update


def test_rates_that_the_log_follows_itself_are_not_told_twice():
    used, told = Used(), []
    trainer = Double(used, "torch")
    with log_to(lambda *said: told.append(said), optimizer=trainer.optimizers[0]) as log:
        trainer.fit(Telling(log.heard(), own=False))
    check(told, used, [*range(1, STEPS + 1)])


def test_several_optimizers_are_told_apart_and_one_without_hooks_is_said():
    used, told = Used(), []
    trainer = Double(used, "torch")
    trainer.optimizers.append(torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=0.125))
    with log_to(lambda *said: told.append(said)) as log:
        trainer.fit(Telling(log.heard(), own=False))
        hookless = torch.optim.SGD.__new__(torch.optim.SGD)
        with pytest.warns(UserWarning, match="the rates of this trainer are not told: got SGD"):
            log.heard().follow([hookless])
    assert next(sorted(values) for _, values in told if "train/loss" not in values) == ["lr/0/0", "lr/0/head"]


class Model(nn.Module):
    def __init__(self, used):
        super().__init__()
        self.used, self.weights = used, nn.ParameterList(used.weights)

    def forward(self, x, labels=None):  # noqa: ARG002
        return {"loss": self.used.loss() + 0 * x.sum()}


def trained(tmp_path, used, log, own, **more):
    """transformers' Trainer with a reporter of one's own, as TensorBoard's is one; what that was told."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    told = []

    class Reporter(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):  # noqa: ARG002
            told.append((state.global_step, dict(logs)))

    optimizer = tapered.SGD(groups(used.weights), lr=tapered.linear(0.5, steps=8))
    arguments = TrainingArguments(
        str(tmp_path), max_steps=STEPS, logging_steps=EVERY, eval_steps=3, eval_strategy="steps", save_strategy="no",
        report_to="none", use_cpu=True, disable_tqdm=True, per_device_train_batch_size=1, prediction_loss_only=True,
        max_grad_norm=0.0, **more,
    )  # fmt: skip
    data = [{"x": torch.zeros(1, dtype=torch.float64), "labels": 0} for _ in range(8)]
    trainer = Trainer(
        Model(used), arguments, train_dataset=data, eval_dataset=data[:1], callbacks=[Reporter()],
        optimizers=(optimizer, as_lr_scheduler(optimizer)),
    )  # fmt: skip
    callback = log.trainer_callback(trainer if own else None)
    if not own:
        trainer.add_callback(callback)
    trainer.train()
    return told


@transformers
@pytest.mark.parametrize("own", [True, False])
def test_the_trainer_of_transformers_tells_rates_with_its_losses(tmp_path, own, capsys):
    used, told = Used(), []
    with log_to(lambda *said: told.append(said)) as log:
        shown = trained(tmp_path, used, log, own)
    check(told, used, [2, 4, 6])
    losses = [-sum(map(sum, used.rates[:k])) for k in range(STEPS)]
    means = [(k, pytest.approx((losses[k - 2] + losses[k - 1]) / 2, abs=1e-4)) for k in (2, 4, 6)]  # it rounds
    assert [(step, values["train/loss"]) for step, values in told if "train/loss" in values] == means
    assert [step for step, values in told if "valid/loss" in values] == [3, 6]
    rates = [(step, logs.get("lr/0"), logs["learning_rate"]) for step, logs in shown if "loss" in logs]
    seen = [pytest.approx(rate(k - 1)) for k in (2, 4, 6)]
    assert rates == [(k, one if own else None, one) for k, one in zip((2, 4, 6), seen, strict=True)]
    capsys.readouterr()
