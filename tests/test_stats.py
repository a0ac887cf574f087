import itertools
from dataclasses import replace
from math import comb, inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from tapered.stats import best_at, gains, holm, paired, seeds_for, seeds_needed, verdict
from tapered.stats.intervals import bca_interval, share_interval, t_interval


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
    covered = [low <= 0.7 <= high for _, (low, high) in (t_interval(d, 0.05) for d in draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * sqrt(0.95 * 0.05 / 1500))


def test_false_claims_stay_below_alpha():
    """The same thing against itself, in 300 studies of 8 seeds: the A/A control on invented gains."""
    draws = np.random.default_rng(5).normal(0, 1, (300, 8))
    claims = [verdict(paired(d)).word in {"helps", "hurts"} for d in draws]
    assert np.mean(claims) <= 0.05 + 3 * sqrt(0.05 * 0.95 / 300)
    assert sum(claims) > 0  # and the test can fail


def bca_by_hand(d, alpha, resamples):
    """Efron's formulas, from the resampled means to the two quantiles."""
    n = len(d)
    means = np.sort(d[np.random.default_rng(7).integers(0, n, (resamples, n))].mean(1))
    below = ((means < d.mean()).sum() + (means <= d.mean()).sum()) / 2 / resamples
    bias = scipy_stats.norm.ppf(below)
    left_out = np.array([np.delete(d, i).mean() for i in range(n)])
    away = left_out.mean() - left_out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)

    def quantile(q):
        z = bias + scipy_stats.norm.ppf(q)
        return np.quantile(means, scipy_stats.norm.cdf(bias + z / (1 - acceleration * z)))

    return quantile(alpha / 2), quantile(1 - alpha / 2)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_bca_by_hand(alpha):
    d = np.random.default_rng(6).lognormal(0, 1, 12)
    expected = bca_by_hand(d, alpha, 200_000)
    width = expected[1] - expected[0]
    assert bca_interval(d, alpha) == pytest.approx(expected, abs=0.03 * width)
    # it leans to the side of the long tail, where Student's t is symmetric
    assert d.mean() - expected[0] < expected[1] - d.mean()


def test_bca_has_its_limits():
    assert bca_interval(np.arange(7.0), 0.05) is None  # too few
    assert bca_interval(np.full(8, 0.3), 0.05) is None
    assert bca_interval(np.array([0.2 + 2.8e-17, *[0.2] * 7]), 0.05) is None  # equal but for rounding
    assert bca_interval(np.array([inf, *range(7)]), 0.05) is None
    for scale in (1e-300, 1e300):
        d = np.array([1.0, 2.0, 3.0, 2.5, -0.5, 2.0, 9.0, 1.0])
        scaled = tuple(end * scale for end in bca_interval(d, 0.05))
        assert bca_interval(d * scale, 0.05) == pytest.approx(scaled, rel=1e-12)


@given(st.lists(st.sampled_from([0.0, 0.0, 1.0, -1.0, 1e-300, 1e300]), min_size=8, max_size=10))
@settings(max_examples=40, deadline=None)
def test_ties_and_scales_break_nothing(d):
    result = paired(d)
    ends = [result.low, result.high, *(result.bca or ())]
    assert all(np.isfinite(end) for end in ends)
    assert verdict(result).word in {"helps", "hurts", "no evidence"}
    mirrored = paired([-x for x in d])
    assert (mirrored.p, mirrored.wins, mirrored.low) == (result.p, result.losses, pytest.approx(-result.high))


def binomial_tail(successes, n, share):
    return sum(comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(successes, n + 1))


@pytest.mark.parametrize(("wins", "n"), [(0, 8), (3, 8), (7, 8), (8, 8), (11, 20), (1, 1)])
def test_the_interval_of_a_share_has_the_tails_it_says(wins, n):
    low, high = share_interval(wins, n, 0.05)
    if wins:
        assert binomial_tail(wins, n, low) == pytest.approx(0.025)
    if wins < n:
        assert 1 - binomial_tail(wins + 1, n, high) == pytest.approx(0.025)
    assert (low == 0, high == 1) == (wins == 0, wins == n)
    assert share_interval(0, 0, 0.05) is None


def test_the_win_rate_is_of_the_pairs_that_differ():
    result = paired([0.1, 0.2, -0.1, 0.3, 0, 0, 0.1, 0.2])
    assert (result.win_rate, result.win_interval) == (5 / 6, share_interval(5, 6, 0.05))
    assert paired([0.0] * 8).win_rate is None


def test_gains_point_up_whichever_way_the_metric_goes():
    assert gains([1.0, 3.0], [2.0, 2.5]) == [1.0, -0.5]
    assert gains([1.0, 3.0], [2.0, 2.5], "maximize") == [-1.0, 0.5]


def test_a_diverged_run_is_the_worst():
    assert gains([nan, 1.0, inf, -inf], [1.0, nan, nan, 2.0]) == [-inf, inf, 0.0, -inf]
    assert gains([nan, 1.0], [1.0, inf], "maximize") == [-inf, inf]


def test_diverged_pairs_are_tested_by_signed_ranks():
    d = [inf, inf, 0.3, 0.2, 0.1, 0.4, 0.5, 0.6]
    result = paired([*d[:4], -0.1, *d[5:]])
    assert (result.mean, result.low, result.bca, result.one_sided) == (None, None, None, 2)
    assert result.p == brute_force([7.5, 7.5, 3, 2, -1, 4, 5, 6])
    # p is below alpha, but 7 of 8 leave one half possible
    assert result.p < 0.05
    assert verdict(result).word == "no evidence"
    said = verdict(paired(d))
    reason = "no interval of the mean, since 2 pairs had one run diverge, and the win rate's excludes one half"
    assert (said.word, said.reason) == ("helps", reason)
    assert verdict(paired([-x for x in d])).word == "hurts"
    assert verdict(paired(d), p=0.06).word == "no evidence"
    assert verdict(paired([inf, -inf, inf, -inf, 1, -1, 1, -1])).word == "no evidence"
    assert verdict(paired([inf] + [0.0] * 7)).word == "no evidence"


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


def test_a_claim_needs_both_intervals():
    result = paired([0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2])
    said = verdict(replace(result, bca=(-0.01, 0.3)))
    assert (said.word, said.reason) == ("no evidence", "the t interval excludes 0, and the BCa interval contains it")
    assert verdict(replace(result, low=-0.01)).word == "no evidence"
    assert verdict(replace(result, bca=None)).word == "helps"
    assert verdict(replace(result, bca=(0.1, 0.5)), delta=0.4).word == "helps"
    assert verdict(result, delta=0.4).word == "equivalent"


def test_a_difference_too_small_to_matter():
    d = [0.01, 0.02, 0.03, 0.02, 0.01, 0.02, 0.03, 0.02]
    assert verdict(paired(d), delta=0.1).word == "equivalent"
    assert verdict(paired([-x for x in d]), delta=0.1).word == "equivalent"
    assert verdict(paired([-100 * x for x in d]), delta=0.1).word == "hurts"
    assert verdict(paired([100 * x for x in d]), delta=0.1).word == "helps"
    assert verdict(paired(d), delta=0.02).word == "helps"


def test_seeds_needed():
    assert [seeds_needed(alpha) for alpha in (0.05, 0.01, 2 / 2**9, 0.001)] == [8, 8, 10, 11]


def test_seeds_for_a_difference_by_simulation():
    """So many seeds find the difference about four times in five."""
    n, rng = seeds_for(0.5, 1.0), np.random.default_rng(8)
    assert n == 34  # 7.849 * 4 = 31.4
    found = scipy_stats.ttest_1samp(rng.normal(0.5, 1, (4000, n)), 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.025)
    assert seeds_for(1e-300, 1e300) > 10**15
    with pytest.raises(ValueError, match="delta=0"):
        seeds_for(0, 1.0)


@given(st.lists(st.sampled_from([1.0, 2.0, 3.5, 3.5, 7.0, inf, nan]), min_size=1, max_size=7), st.data())
def test_the_best_of_k_against_every_choice(scores, data):
    k = data.draw(st.integers(1, len(scores)))
    every = [min(x if np.isfinite(x) else inf for x in c) for c in itertools.combinations(scores, k)]
    found = best_at(scores, k)
    assert found.lost == pytest.approx(np.mean(np.isinf(every)))
    assert found.expected == (None if inf in every else pytest.approx(np.mean(every)))
    ordered = sorted(every)[(len(every) - 1) // 2]
    assert found.median == (None if ordered == inf else ordered)


def test_the_best_of_k_where_high_is_good():
    assert best_at([0.5, 0.9, 0.7], 2, "maximize").expected == pytest.approx((0.9 + 0.9 + 0.7) / 3)
    with pytest.raises(ValueError, match="k=4 of 3"):
        best_at([1.0, 2.0, 3.0], 4)


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
