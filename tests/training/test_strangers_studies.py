"""Strangers' problems trained in every mode, beside plain loops; more by benchmarks/clients/strangers_studies.py."""

import pytest
import strangers_studies
from strangers_by_hand import Plain

EVERY = ["loop", "rows", "rows compiled"]


@pytest.mark.parametrize(
    ("name", "modes", "studies"),
    [
        ("deep_supervision", EVERY, False),  # eight losses, clipping, groups
        ("gru_tagging", EVERY[:1], True),  # a mean over words, of sentences of several lengths, accumulated
        ("memmap_rows", EVERY[:2], True),  # weights, accumulated, and workers
        ("augmentation", EVERY[:2], False),  # draws by numpy in workers, an average, BatchNorm recomputed
    ],
)
def test_every_mode_is_the_plain_loop(name, modes, studies) -> None:
    tried = [mode for mode in strangers_studies.MODES if mode.kind in modes]
    found = strangers_studies.judge(strangers_studies.load(name), tried, seeds=2, studies=studies)
    assert found.faults == []
    assert found.modes == modes
    assert found.largest <= strangers_studies.TOLERANCE, found.where
    assert found.statistics <= 1e-9


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_autocast_and_its_scaler(precision) -> None:
    half = strangers_studies.in_halves(strangers_studies.load("deep_supervision"), precision)
    found = strangers_studies.judge(half, strangers_studies.MODES[:1], seeds=1, studies=False)
    assert found.faults == []
    assert found.largest <= strangers_studies.TOLERANCE, found.where


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("gru_tagging", "clip"),
        ("gru_tagging", "weight"),
        ("gru_tagging", "accumulate"),
        ("set_transformer", "groups"),
        ("physics", "clip"),
        ("unet_dice", "groups"),
        ("unet_dice", "average"),
        ("augmentation", "average"),
        ("augmentation", "recomputed"),
        ("memmap_rows", "weight"),
        ("deep_supervision", "clip"),
        ("deep_supervision", "groups"),
    ],
)
def test_what_a_step_is_made_of_is_seen_where_the_plain_loop_leaves_it_out(name, left_out) -> None:
    module = strangers_studies.load(name)
    less = Plain(**{field: value for field, value in module.BY_HAND.items() if field != left_out})
    found = strangers_studies.judge(module, strangers_studies.MODES[:1], seeds=1, studies=False, plain=less)
    assert found.faults == []
    assert found.largest > 10 * strangers_studies.TOLERANCE


def test_a_difference_in_a_single_weight_is_seen(monkeypatch) -> None:
    module = strangers_studies.load("deep_supervision")
    plain = strangers_studies.by_hand

    def off(*which):
        found = plain(*which)
        found.weights["stages.3.bias"][5] += 1e-4
        return found

    monkeypatch.setattr(strangers_studies, "by_hand", off)
    found = strangers_studies.judge(module, strangers_studies.MODES[:1], seeds=1, studies=False)
    assert found.largest > strangers_studies.TOLERANCE
    assert found.where == "loop, stages.3.bias"
