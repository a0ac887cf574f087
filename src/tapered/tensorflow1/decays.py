"""TensorFlow 1's decays of the learning rate, each as a schedule."""

from collections.abc import Sequence

from tapered import schedules
from tapered.schedules import Schedule


def exponential_decay(
    learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,  # noqa: FBT001, FBT002 - TensorFlow's order
) -> Schedule:
    """`learning_rate * decay_rate^(step / decay_steps)`; the exponent floored for a staircase.

    Args:
        learning_rate: at step 0.
        decay_steps: above 0, need not be whole.
        decay_rate: the factor over decay_steps, above 0.
        staircase: falls at once every decay_steps.

    Raises:
        TypeError: `staircase` is no bool, as when a `global_step` still stands second.

    Example:
        >>> exponential_decay(0.15, 1, 0.9999)(73_129) < 1e-4
        True
    """
    return schedules.exponential_decay(learning_rate, decay_steps, decay_rate, staircase)


def natural_exp_decay(
    learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,  # noqa: FBT001, FBT002 - TensorFlow's order
) -> Schedule:
    """`learning_rate * exp(-decay_rate)^(step / decay_steps)`; the exponent floored for a staircase.

    Args:
        learning_rate: at step 0.
        decay_steps: above 0, need not be whole.
        decay_rate: the rate falls by a factor of e^decay_rate over decay_steps.
        staircase: falls at once every decay_steps.

    Example:
        >>> round(natural_exp_decay(0.1, 100, 1.0)(100), 6)
        0.036788
    """
    return schedules.natural_exp_decay(learning_rate, decay_steps, decay_rate, staircase)


def inverse_time_decay(
    learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,  # noqa: FBT001, FBT002 - TensorFlow's order
) -> Schedule:
    """`learning_rate / (1 + decay_rate * step / decay_steps)`; the quotient floored for a staircase.

    Args:
        learning_rate: at step 0.
        decay_steps: above 0, need not be whole.
        decay_rate: by how much the divisor grows over decay_steps.
        staircase: falls at once every decay_steps.

    Example:
        >>> inverse_time_decay(0.1, 100, 1.0)(100)
        0.05
    """
    return schedules.inverse_time_decay(learning_rate, decay_steps, decay_rate, staircase)


def polynomial_decay(
    learning_rate: float,
    decay_steps: float,
    end_learning_rate: float = 0.0001,
    power: float = 1.0,
    cycle: bool = False,  # noqa: FBT001, FBT002 - TensorFlow's order
) -> Schedule:
    """`(learning_rate - end) * (1 - step / decay_steps)^power + end`; `cycle` starts again from lower peaks.

    Args:
        learning_rate: at step 0.
        decay_steps: to the end, above 0, need not be whole.
        end_learning_rate: the last value.
        power: of what is left of the way.
        cycle: starts again at the end, from lower peaks, over longer ways.

    Example:
        >>> polynomial_decay(0.1, 100, end_learning_rate=0.02)(50), polynomial_decay(0.1, 100)(200)
        (0.06, 0.0001)
    """
    return schedules.polynomial_decay(learning_rate, decay_steps, end_learning_rate, power, cycle)


def piecewise_constant(boundaries: Sequence[float], values: Sequence[float]) -> Schedule:
    """`values[i]` after boundary i - 1 and up to boundary i, whose own step still has the old value.

    The step is the optimizer's counter, so TensorFlow's first argument `x` is left out.

    Args:
        boundaries: steps, rising.
        values: one more than there are boundaries.

    Example:
        >>> rate = piecewise_constant([100, 200], [0.1, 0.01, 0.001])
        >>> rate(100), rate(101), rate(201)
        (0.1, 0.01, 0.001)
    """
    return schedules.piecewise_constant(tuple(boundaries), tuple(values))


def cosine_decay(learning_rate: float, decay_steps: float, alpha: float = 0.0) -> Schedule:
    """`learning_rate * ((1 - alpha) (1 + cos(pi step / decay_steps)) / 2 + alpha)`; alpha is a fraction of the rate.

    Args:
        learning_rate: at step 0.
        decay_steps: to the end, above 0, need not be whole.
        alpha: the last value, as a fraction of the first.

    Example:
        >>> rate = cosine_decay(0.1, 100, alpha=0.1)
        >>> rate(0), round(rate(50), 6), round(rate(100), 6)
        (0.1, 0.055, 0.01)
    """
    return schedules.cosine_decay(learning_rate, decay_steps, alpha)


def cosine_decay_restarts(
    learning_rate: float, first_decay_steps: float, t_mul: float = 2.0, m_mul: float = 1.0, alpha: float = 0.0
) -> Schedule:
    """Cosine decays one after another, each `t_mul` times as long and `m_mul` times as high.

    TensorFlow finds the restart by a logarithm and misses it at some steps; here it is met. To get TensorFlow's misses:
    `tapered.schedules.cosine_decay_restarts(..., tf_exact=True)`.

    Args:
        learning_rate: at step 0.
        first_decay_steps: of the first decay, above 0.
        t_mul: how much longer each is than the one before, at least 1.
        m_mul: how high each begins beside the one before.
        alpha: the lowest value, as a fraction of the first.

    Example:
        >>> rate = cosine_decay_restarts(0.1, 100, t_mul=2.0, m_mul=0.5)
        >>> rate(0), rate(100), rate(300)
        (0.1, 0.05, 0.025)
    """
    return schedules.cosine_decay_restarts(learning_rate, first_decay_steps, t_mul, m_mul, alpha)


def linear_cosine_decay(
    learning_rate: float, decay_steps: float, num_periods: float = 0.5, alpha: float = 0.0, beta: float = 0.001
) -> Schedule:
    """`learning_rate * ((alpha + 1 - u) (1 + cos(2 pi num_periods u)) / 2 + beta)`, u = step / decay_steps up to 1.

    Args:
        learning_rate: what every value is a multiple of.
        decay_steps: to the end, above 0, need not be whole.
        num_periods: whole waves of the cosine up to there.
        alpha: what is added to the line.
        beta: what is added to the product.

    Example:
        >>> rate = linear_cosine_decay(0.1, 100)
        >>> round(rate(0), 6), round(rate(100), 6)
        (0.1001, 0.0001)
    """
    return schedules.linear_cosine_decay(learning_rate, decay_steps, num_periods, alpha, beta)


def noisy_linear_cosine_decay(
    learning_rate: float,
    decay_steps: float,
    initial_variance: float = 1.0,
    variance_decay: float = 0.55,
    num_periods: float = 0.5,
    alpha: float = 0.0,
    beta: float = 0.001,
) -> Schedule:
    """As `linear_cosine_decay` with normal noise added to `alpha + 1 - u`, drawn once a step from the step itself.

    TensorFlow draws anew at each reading. The value can be negative, which an optimizer refuses: add `.clamp(0)`.

    Args:
        learning_rate: what every value is a multiple of.
        decay_steps: to the end, above 0, need not be whole.
        initial_variance: of the noise at step 0.
        variance_decay: the power of 1 + step by which it falls.
        num_periods: whole waves of the cosine up to the end.
        alpha: what is added to the line.
        beta: what is added to the product.

    Example:
        >>> rate = noisy_linear_cosine_decay(0.1, 100)
        >>> rate(7) == rate(7), rate(7) == linear_cosine_decay(0.1, 100)(7)
        (True, False)
    """
    return schedules.noisy_linear_cosine_decay(
        learning_rate, decay_steps, initial_variance, variance_decay, num_periods, alpha, beta
    )
