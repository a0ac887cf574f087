import itertools
from dataclasses import replace
from math import comb, inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from tapered.stats import best_at, gains, holm, paired, seeds_for, seeds_needed, verdict
from tapered.stats.flips import sign_flips
from tapered.stats.intervals import share_interval, t_interval


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


def p_at(d, means):
    """p of the gains less each of some means, every sign pattern one by one."""
    signs = np.array(list(itertools.product((1, -1), repeat=len(d))))
    shifted = np.asarray(d)[:, None] - means
    sums, seen = np.abs(signs @ shifted), np.abs(shifted.sum(0))
    return (sums >= seen - 1e-9 * np.abs(shifted).sum(0)).mean(0)


@pytest.mark.parametrize("alpha", [0.04, 0.05, 0.2])
@pytest.mark.parametrize("n", [6, 7, 8, 10])
def test_the_sign_flip_interval_inverts_the_test(n, alpha):
    for d in (np.random.default_rng(n).lognormal(0, 1, n), np.random.default_rng(n).integers(-3, 9, n) / 10):
        low, high = paired(d, alpha=alpha).flips
        step = 1e-6 * (high - low)
        inside = p_at(d, np.linspace(low + step, high - step, 200))
        outside = p_at(d, np.array([d.min() - 1, low - step, high + step, d.max() + 1]))
        assert inside.min() >= alpha > outside.max()


def test_the_sign_flip_interval_by_hand():
    # 8 seeds at 5%: 6 of 128 patterns are 4.7%, so the 6th lowest of the means of all subsets is the end
    d = [0.1, 0.7, 0.3, 1.5, -0.2, 0.9, 0.4, 0.6]
    subsets = [np.mean(c) for k in range(1, 9) for c in itertools.combinations(d, k)]
    low, high = sorted(subsets)[5], sorted(subsets)[-6]
    assert paired(d).flips == pytest.approx((low, high))
    # as few as show 6 comparisons at once: the range
    assert paired(d, alpha=0.05 / 6).flips == pytest.approx((min(d), max(d)))
    assert paired(d, alpha=0.05 / 7).flips is None


@pytest.mark.parametrize(("n", "alpha"), [(5, 0.05), (6, 2 / 2**6), (19, 2 / 2**19), (7, 0.01)])
def test_too_few_seeds_have_no_sign_flip_interval(n, alpha):
    assert paired(np.arange(1.0, n + 1), alpha=alpha).flips is None
    assert paired(np.arange(1.0, n + 2), alpha=alpha).flips == (1.0, n + 1.0)


@given(st.lists(st.integers(-20, 60), min_size=6, max_size=10), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_sign_flip_interval_excludes_0_exactly_where_p_is_below_alpha(d, alpha):
    result = paired([x / 10 for x in d], alpha=alpha)
    low, high = result.flips or (-inf, inf)
    assert (low > 0 or high < 0) == (result.p < alpha)
    assert low <= result.mean + 1e-12
    assert high >= result.mean - 1e-12


@pytest.mark.parametrize("n", [21, 24, 40])
def test_drawn_patterns_give_the_same_interval_and_agree_with_it(n):
    d = np.random.default_rng(n).normal(0.4, 1, n)
    result = paired(d)
    assert result.flips == paired(d).flips
    assert result.flips == pytest.approx((result.low, result.high), abs=0.15 * (result.high - result.low))
    for alpha in (result.p * 0.99, result.p * 1.01):  # on either side of p
        low, high = paired(d, alpha=alpha).flips
        assert (low > 0 or high < 0) == (result.p < alpha)


def test_the_sign_flip_interval_holds_the_mean_as_often_as_it_says():
    """Heavy tails and few values; 8 seeds hold it in 122 of 128 cases."""
    rng = np.random.default_rng(9)
    for draws in (rng.standard_t(2, (3000, 8)), rng.normal(0, 1, (3000, 8)), rng.laplace(0, 1, (3000, 8))):
        held = np.mean([low <= 0 <= high for _, (low, high) in (sign_flips(d, 0.05) for d in draws)])
        assert held == pytest.approx(122 / 128, abs=4 * sqrt(0.05 * 0.95 / 3000))


def test_the_sign_flip_interval_has_its_limits():
    assert paired([0.3] * 8).flips == (0.3, 0.3)
    assert paired([inf, *range(7)]).flips is None
    for scale in (1e-300, 1e300):
        d = np.array([1.0, 2.0, 3.0, 2.5, -0.5, 2.0, 9.0, 1.0])
        assert paired(d * scale).flips == pytest.approx([end * scale for end in paired(d).flips], rel=1e-12)
    # a large gain does not round the small ones away
    for large in range(8):
        assert paired([1e14 if i == large else 1 for i in range(8)]).p == 2 / 2**8


@given(st.lists(st.sampled_from([0.0, 0.0, 1.0, -1.0, 1e-300, 1e300]), min_size=8, max_size=10))
@settings(max_examples=40, deadline=None)
def test_ties_and_scales_break_nothing(d):
    result = paired(d)
    ends = [result.low, result.high, *result.bootstrap, *(result.flips or ())]
    assert all(np.isfinite(end) for end in ends)
    assert verdict(result).word in {"helps", "hurts", "no evidence", "not enough seeds"}
    mirrored = paired([-x for x in d])
    assert (mirrored.p, mirrored.wins, mirrored.low) == (result.p, result.losses, pytest.approx(-result.high))


def all_resamples(d):
    """t of every resample of few gains, in plain numbers."""
    n, mean = len(d), sum(d) / len(d)
    for drawn in itertools.product(d, repeat=n):
        m = sum(drawn) / n
        spread = sqrt(sum((x - m) ** 2 for x in drawn) / (n - 1))
        if len(set(drawn)) > 1:
            yield (m - mean) * sqrt(n) / spread


@pytest.mark.parametrize("d", [[0.1, 0.2, 0.4, 0.8, 1.6], [0.3, -0.1, 0.2, 0.5, 0.25], [0.0, 0.0, 0.1, 0.1, 0.3]])
def test_the_bootstrap_interval_against_all_resamples(d):
    """Ends lie where 2.5% of all 3,125 resamples have a lower t, and 2.5% a higher one, up to what draws vary."""
    t, sd = np.sort(list(all_resamples(d))), np.std(d, ddof=1)
    low, high = paired(d).bootstrap
    for end, share in ((low, 0.975), (high, 0.025)):
        q = (np.mean(d) - end) * sqrt(5) / sd
        below, at_most = np.mean(t < q - 1e-9), np.mean(t <= q + 1e-9)
        assert below - 0.006 <= share <= at_most + 0.006  # four standard errors of 9,999 draws


def test_the_bootstrap_interval_has_its_limits():
    d = np.array([1.0, 2.0, 3.0, 2.5, -0.5, 2.0, 9.0, 1.0])
    result, mirrored = paired(d), paired(-d)
    assert mirrored.bootstrap == pytest.approx([-end for end in reversed(result.bootstrap)], rel=1e-12)
    assert result.bootstrap == paired(d).bootstrap
    assert result.high - result.mean < result.bootstrap[1] - result.mean  # towards the long tail
    for scale in (1e-300, 1e300):
        assert paired(d * scale).bootstrap == pytest.approx([end * scale for end in result.bootstrap], rel=1e-12)
    assert (paired(d[:4]).bootstrap, paired([0.3] * 8).bootstrap) == (None, (0.3, 0.3))
    many = paired(np.random.default_rng(1).exponential(1, 3000))
    assert many.bootstrap == pytest.approx((many.low, many.high), abs=0.1 * (many.high - many.low))


def test_the_intervals_together_hold_the_mean_of_skewed_gains_too():
    """Without the bootstrap's they hold it in 90% of cases."""
    draws = np.random.default_rng(1).exponential(1, (1000, 8)) - 1
    ends = np.array([((r.low, r.high), r.flips, r.bootstrap) for r in map(paired, draws)])
    without, together = (np.mean((ends[:, :many, 0].min(1) <= 0) & (ends[:, :many, 1].max(1) >= 0)) for many in (2, 3))
    assert without < 0.93
    assert together >= 0.95 - 3 * sqrt(0.05 * 0.95 / 1000)


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
    assert (result.mean, result.low, result.bootstrap, result.flips, result.one_sided) == (None, None, None, None, 2)
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
    assert verdict(paired([inf] + [0.0] * 7)).text == "not enough seeds (6 that differ for 1 comparison)"


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
        (
            [0, 0, 0, 0, 0, 0.2, 0.3, 0.1],
            "not enough seeds",
            "differ at 3 of 8 seeds, and a claim at alpha = 0.05 needs",
        ),
        ([0, 0, 0.1, 0.1, 0.1, 0.2, 0.3, 0.1], "helps", "excludes 0"),
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


def test_skewed_gains_take_more_for_a_claim():
    """7 of 8 seeds worse, alike, and one better: others like that one may be rare, and make up for them."""
    said = verdict(paired([-0.08, -0.05, -0.06, -0.08, -0.07, -0.08, -0.07, 0.03]))
    assert said.word == "no evidence"
    assert said.reason == "the t interval excludes 0, and that of the bootstrap contains it"
    # the long tail on the side that is claimed takes nothing away
    assert verdict(paired([-0.08, -0.05, -0.06, -0.08, -0.07, -0.08, -0.07, -0.2])).word == "hurts"


def test_a_claim_needs_every_interval():
    result = paired([0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2])
    said = verdict(replace(result, flips=(-0.01, 0.3)))
    why = "the t interval excludes 0, and that of the sign-flip test contains it"
    assert (said.word, said.reason) == ("no evidence", why)
    said = verdict(replace(result, bootstrap=(-0.01, 0.3)))
    why = "the t interval excludes 0, and that of the bootstrap contains it"
    assert (said.word, said.reason) == ("no evidence", why)
    assert (
        "that of the bootstrap and that of the sign-flip test contain it"
        in verdict(replace(result, bootstrap=(-1, 1), flips=(-1, 1))).reason
    )
    assert verdict(replace(result, low=-0.01)).word == "no evidence"
    assert verdict(replace(result, bootstrap=(0.1, 0.5)), delta=0.4).word == "helps"
    assert verdict(replace(result, flips=(0.1, 0.5)), delta=0.4).word == "helps"
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
    # a table: so many seeds show at most so many comparisons at 5%
    for n, most in {8: 6, 9: 12, 10: 25, 11: 51, 12: 102}.items():
        assert (seeds_needed(0.05, most), seeds_needed(0.05, most + 1)) == (n, n + 1)


@given(st.sampled_from([0.001, 0.01, 0.03125, 0.05, 0.1]), st.integers(1, 40))
def test_the_seeds_needed_are_those_that_the_best_case_needs(alpha, comparisons):
    """Every arm better at every seed: the word is helps from there on, and not enough seeds before."""
    n = seeds_needed(alpha, comparisons)
    for seeds in (n, n - 1):
        result = paired([0.1 + 0.001 * i for i in range(seeds)], alpha=alpha)
        [p] = set(holm([result.p] * comparisons))
        said = verdict(result, alpha=alpha, p=p, comparisons=comparisons)
        assert said.word == ("helps" if seeds == n else "not enough seeds")
        assert (p < alpha) == (seeds == n) or n == 8  # 6 and 7 seeds could, and are not believed


def test_not_enough_seeds_for_several_comparisons():
    found = paired([0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2])
    said = verdict(found, p=7 * found.p, comparisons=7)
    assert said.text == "not enough seeds (9 for 7 comparisons)"
    assert said.reason == "8 seeds, and a claim at alpha = 0.05 needs at least 9 for 7 comparisons"
    assert verdict(found, p=7 * found.p) == said  # p says as much by itself
    assert verdict(found, p=6 * found.p, comparisons=6).text == "helps"
    mixed = paired([0.1, -0.2, 0.3, -0.2, 0.1, -0.2, 0.3, -0.2])
    assert verdict(mixed, p=1.0, comparisons=7).takes == "9 for 7 comparisons"
    assert verdict(mixed, p=1.0, comparisons=6).word == "no evidence"
    assert verdict(mixed, p=1.0, comparisons=7, delta=1.0).word == "equivalent"  # which p has no part in


def test_an_alpha_that_no_seeds_could_show_is_refused():
    with pytest.raises(ValueError, match=r"alpha=1e-09 for 1 comparisons; p is known to 1e-05 each.*try alpha=2e-05"):
        seeds_needed(1e-9)
    with pytest.raises(ValueError, match="comparisons=0"):
        seeds_needed(0.05, 0)
    assert seeds_needed(1.1e-5) == 18
    # and what is not refused is shown by as many seeds as there may be
    for n in (18, 20, 21, 60):
        assert paired([0.1 + 0.001 * i for i in range(n)]).p < 1.1e-5


def test_seeds_for_a_difference_by_simulation():
    """So many seeds find the difference about four times in five."""
    n, rng = seeds_for(0.5, 1.0), np.random.default_rng(8)
    assert n == 34  # 7.849 * 4 = 31.4
    found = scipy_stats.ttest_1samp(rng.normal(0.5, 1, (4000, n)), 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.025)
    assert seeds_for(1e-300, 1e300) > 10**15
    assert seeds_for(5.0, 1.0, comparisons=7) == 9
    several = seeds_for(0.5, 1.0, comparisons=7)
    corrected = scipy_stats.ttest_1samp(rng.normal(0.5, 1, (4000, several)), 0, axis=1).pvalue < 0.05 / 7
    assert corrected.mean() == pytest.approx(0.8, abs=0.03)
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
