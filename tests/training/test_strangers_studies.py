"""Strangers' problems trained in every mode, beside plain loops; more by benchmarks/clients/strangers_studies.py."""

import pytest
import strangers_studies

EVERY = ["loop", "rows", "rows compiled"]


@pytest.mark.parametrize(
    ("name", "modes", "studies"),
    [
        ("deep_supervision", EVERY, True),  # a tuple of eight outputs
        ("gru_tagging", EVERY[:1], True),  # a mean over words, of sentences of several lengths
        ("memmap_rows", EVERY, True),  # targets and their weights
        ("augmentation", EVERY[:2], False),  # draws by numpy, buffers; compiling convolutions takes long
    ],
)
def test_every_mode_is_the_plain_loop(name, modes, studies) -> None:
    tried = [mode for mode in strangers_studies.MODES if mode.kind in modes]
    found = strangers_studies.judge(strangers_studies.load(name), tried, seeds=2, studies=studies)
    assert found.faults == []
    assert found.modes == modes
    assert found.largest <= strangers_studies.TOLERANCE, found.where
    assert found.statistics <= 1e-9


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
