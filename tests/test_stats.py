import itertools
from math import inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from tapered.stats import gains, holm, paired, seeds_needed, verdict


def brute_force(d):
    """Every sign pattern, one by one."""
    seen = abs(sum(d))
    patterns = list(itertools.product((1, -1), repeat=len(d)))
    return sum(abs(sum(s * x for s, x in zip(p, d, strict=True))) >= seen - 1e-9 for p in patterns) / len(patterns)


def test_interval_by_hand():
    # mean 3, deviation sqrt(2.5), t(0.975, 4) = 2.776445 from a printed table
    result = paired([1, 2, 3, 4, 5])
    half = 2.776445 * sqrt(2.5) / sqrt(5)
    assert result.mean == 3
    assert (result.low, result.high) == pytest.approx((3 - half, 3 + half), rel=1e-6)
    assert (result.n, result.wins, result.losses, result.ties) == (5, 5, 0, 0)


def test_interval_against_scipy():
    d = np.random.default_rng(1).normal(0.3, 1, 12)
    interval = scipy_stats.ttest_1samp(d, 0).confidence_interval(0.9)
    result = paired(d, alpha=0.1)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("n", [5, 8, 10])
def test_all_positive_gives_the_smallest_p(n):
    assert paired([0.1 * (i + 1) for i in range(n)]).p == 2 / 2**n


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_sign_flip_against_brute_force(d):
    d = [x / 10 for x in d]
    assert paired(d).p == pytest.approx(brute_force(d))


def test_sign_flip_against_scipy_where_both_are_exact():
    d = np.random.default_rng(2).normal(0.4, 1, 13)
    exact = scipy_stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert paired(d).p == pytest.approx(exact.pvalue)


def test_many_seeds_are_resampled_the_same_way_every_time():
    d = np.random.default_rng(3).normal(0.25, 1, 24)
    t = scipy_stats.ttest_1samp(d, 0).pvalue
    assert paired(d).p == paired(d).p == pytest.approx(t, abs=0.02)


def test_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(4).normal(0.7, 2, (1500, 8))
    covered = [result.low <= 0.7 <= result.high for result in map(paired, draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * sqrt(0.95 * 0.05 / 1500))


def test_false_claims_stay_below_alpha():
    draws = np.random.default_rng(5).normal(0, 1, (1500, 8))
    claims = [verdict(paired(d)).word in {"helps", "hurts"} for d in draws]
    assert np.mean(claims) <= 0.05 + 3 * sqrt(0.05 * 0.95 / 1500)


def test_gains_point_up_whichever_way_the_metric_goes():
    assert gains([1.0, 3.0], [2.0, 2.5]) == [1.0, -0.5]
    assert gains([1.0, 3.0], [2.0, 2.5], "maximize") == [-1.0, 0.5]


def test_a_diverged_run_is_the_worst():
    assert gains([nan, 1.0, inf, -inf], [1.0, nan, nan, 2.0]) == [-inf, inf, 0.0, -inf]
    assert gains([nan, 1.0], [1.0, inf], "maximize") == [-inf, inf]


def test_diverged_pairs_are_tested_by_signed_ranks():
    d = [inf, inf, 0.3, 0.2, -0.1, 0.4, 0.5, 0.6]
    ranks = [7.5, 7.5, 3, 2, -1, 4, 5, 6]
    result = paired(d)
    assert (result.mean, result.low, result.high, result.one_sided) == (None, None, None, 2)
    assert result.p == brute_force(ranks)
    said = verdict(result)
    assert (said.word, said.reason) == (
        "helps",
        "no interval, since 2 pairs had one run diverge; signed ranks decide",
    )
    assert verdict(paired([-x for x in d])).word == "hurts"
    assert verdict(paired([inf, -inf, inf, -inf, 1, -1, 1, -1])).word == "no evidence"


def test_no_pairs_and_one_pair():
    none, one = paired([]), paired([0.5])
    assert (none.n, none.mean, none.low, none.p) == (0, None, None, None)
    assert (one.n, one.mean, one.low, one.p) == (1, 0.5, None, 1.0)
    assert verdict(none).word == verdict(one).word == "not enough seeds"
    assert verdict(none).reason == "0 seeds, and a claim at alpha = 0.05 needs at least 8"


@pytest.mark.parametrize(
    ("d", "word", "reason"),
    [
        ([0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3], "not enough seeds", "7 seeds"),
        ([0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2], "helps", "excludes 0"),
        ([-0.1, -0.2, -0.3, -0.2, -0.1, -0.2, -0.3, -0.2], "hurts", "excludes 0"),
        ([0.0] * 8, "no evidence", "equal at all 8 seeds"),
        ([0.3] * 8, "no evidence", "all 8 differences are the same"),
        ([0.1, -0.2, 0.3, -0.2, 0.1, -0.2, 0.3, -0.2], "no evidence", "contains 0"),
        ([0, 0, 0, 0, 0, 0.2, 0.3, 0.1], "no evidence", "contains 0"),
    ],
)
def test_verdicts(d, word, reason):
    said = verdict(paired(d))
    assert said.word == word
    assert reason in said.reason


def test_a_claim_needs_both_the_interval_and_the_test():
    d = [0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2]
    said = verdict(paired(d), p=0.06)
    assert (said.word, said.reason) == ("no evidence", "the interval excludes 0 and p is not below alpha")
    # a large outlier keeps the interval wide though every sign agrees
    assert paired([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 9.0]).p < 0.05
    assert verdict(paired([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 9.0])).word == "no evidence"


def test_a_difference_too_small_to_matter():
    d = [0.01, 0.02, 0.03, 0.02, 0.01, 0.02, 0.03, 0.02]
    assert verdict(paired(d), delta=0.1).word == "does not matter"
    assert verdict(paired(d), delta=0.02).word == "helps"


def test_seeds_needed():
    assert [seeds_needed(alpha) for alpha in (0.05, 0.01, 2 / 2**9, 0.001)] == [8, 8, 10, 11]


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1e300, 1e307])
def test_scale_does_not_matter(scale):
    d = np.array([1.0, 2.0, 3.0, 2.5, -0.5, 2.0, 9.0, 1.0])
    one, other = paired(d), paired(d * scale)
    assert (one.p, one.wins) == (other.p, other.wins)
    expected = (one.mean * scale, one.low * scale, one.high * scale)
    assert (other.mean, other.low, other.high) == pytest.approx(expected, rel=1e-12)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="gain 1 is nan"):
        paired([0.1, nan])
    with pytest.raises(ValueError, match="alpha=0"):
        paired([0.1], alpha=0)
    with pytest.raises(ValueError, match="2 candidate and 1 baseline"):
        gains([1, 2], [1])
