"""One table of schedules over which the laws are run: every kind, every convention, every operator."""

from tapered.schedules import cumulative_product, from_function, parse

ENDING = [
    "hold(7)",
    "hold(5, value=0.3)",
    "linear(steps=13)",
    "linear(0.1, end=0.01, steps=20.5)",
    "warmup(9)",
    'warmup(9, start=0.2, ramp="(t+1)/N")',
    'warmup(9, ramp="(t+1)/(N+1)", shape="cosine")',
    'warmup(9, shape="1-sqrt")',
    "cooldown(11)",
    'cooldown(11, shape="cosine", floor=0.1)',
    'cooldown(11, shape="1-sqrt")',
    'cooldown(11, shape="square")',
    'cooldown(11, shape="mirror cosine")',
    'cooldown(11, shape="exponential", floor=0.01)',
    'cooldown(11, shape="rex")',
    "polynomial_decay(0.1, decay_steps=17)",
    "polynomial_decay(0.1, decay_steps=17, end=0.0, power=2.0)",
    "polynomial_decay(0.1, decay_steps=17.5, power=0.5, k_decay=0.7)",
    "tanh_decay(0.1, decay_steps=19)",
    "cosine_decay(0.1, decay_steps=23)",
    "cosine_decay(0.1, decay_steps=23, alpha=0.1, exponent=2.0)",
    "cosine_decay(0.1, decay_steps=23.25, end=0.01, num_periods=1.5, k_decay=1.3)",
    "cosine_decay_restarts(0.1, first_decay_steps=7, cycles=3)",
    'cosine_decay_restarts(0.1, first_decay_steps=7, t_mul=1.0, m_mul=0.7, end=0.01, scales="peak", cycles=3)',
    "linear_cosine_decay(0.1, decay_steps=29)",
    "noisy_linear_cosine_decay(0.1, decay_steps=29, seed=5)",
    "piecewise_constant((3, 9), values=(0.1, 0.02, 0.003))",
    'piecewise_constant((3, 9.5), values=(0.1, 0.02, 0.003), switch="at")',
    "piecewise_interpolate((4, 10), values=(0.0, 1.0, 0.5))",
    'piecewise_interpolate((4.5, 10), values=(0.0, 1.0, 0.5), shape="cosine")',
    '0.0003 * warmup(20).then(hold(16)).then(cooldown(40, shape="1-sqrt"))',
    "0.0003 * warmup(20) * cosine_decay(decay_steps=90)",
    "warmup(5) + 0.5 * cooldown(9)",
    "exponential_decay(0.15, decay_steps=1, decay_rate=0.9).until(31)",
    'exponential_decay(0.15, decay_steps=1, decay_rate=0.9).cooldown(12, steps=9, shape="cosine", floor=0.5)',
    "cosine_decay(decay_steps=12).repeat(3)",
    "cosine_decay(decay_steps=12).repeat(3, t_mul=1.5, m_mul=0.8)",
    "cosine_decay(decay_steps=25).staircase(4)",
    "cosine_decay(decay_steps=25).delayed(6)",
    "cosine_decay(decay_steps=25).clamp(0.1, high=0.9)",
    "one_cycle(0.1, total_steps=50)",
    "multistep_decay(0.1, milestones=(5, 9), gamma=0.5)",
    "rex_decay(0.1, decay_steps=30)",
    "untuned_linear_warmup(0.9)",
    "warmup_stable_decay(0.1, warmup_steps=3, stable_steps=4, decay_steps=5)",
    "constant(2.0) * warmup(8)",
    "warmup(8) * cosine_decay(decay_steps=4).in_epochs(7)",
    "hold(2).in_epochs(5).then(cosine_decay(0.1, decay_steps=100, end=0.01).in_samples(8))",
    "linear(steps=100).in_tokens(7)",
    "warmup(5).then(cosine_decay(decay_steps=9, end=0.1)).times(0.3)",
    "(0.5 * warmup(5)).then(polynomial_decay(decay_steps=9)).times(0.3).repeat(2)",
]
ENDLESS = [
    "constant(0.0001)",
    "exponential_decay(0.15, decay_steps=1, decay_rate=0.9999)",
    "exponential_decay(0.15, decay_steps=7, decay_rate=0.9, staircase=True)",
    "exponential_decay(0.15, half_life=6931)",
    "natural_exp_decay(0.1, decay_steps=100, decay_rate=0.5)",
    "inverse_time_decay(0.1, decay_steps=10, decay_rate=0.5, staircase=True)",
    "polynomial_decay(1.0, decay_steps=10, end=0.1, power=2.0, cycle=True)",
    "inverse_sqrt(0.1)",
    "inverse_sqrt(timescale=40, shift=41)",
    "power_decay(0.1, exponent=-0.51)",
    "power_decay(0.1, exponent=2.0, timescale=100)",
    "exponential_warmup(30)",
    "untuned_exponential_warmup(0.99)",
    "cosine_decay_restarts(0.1, first_decay_steps=9)",
    "cosine_decay_restarts(0.1, first_decay_steps=9, t_mul=1.7, m_mul=0.9, alpha=0.1, k_decay=1.2)",
    "cosine_decay_restarts(0.1, first_decay_steps=9, t_mul=3.0, tf_exact=True)",
    "cyclic(0.1, low=0.01, up=8)",
    'cyclic(0.1, low=0.01, up=8, down=3, mode="triangular2")',
    'cyclic(0.1, up=8, mode="exp_range", gamma=0.99)',
    "step_decay(0.1, step_size=6)",
    "power(0.02, tokens_per_step=1000, batch_size=8, a=4.6, b=-0.51)",
    "inverse_sqrt(0.1) * exponential_decay(decay_steps=50, decay_rate=0.5)",
    "2.0 * (constant(0.1) + inverse_sqrt())",
    "0.1 * warmup(10).then(inverse_sqrt(timescale=10, shift=10))",
    "exponential_decay(0.1, decay_steps=1, decay_rate=0.99).clamp(high=0.05)",
    "(inverse_sqrt() + constant(1.0)).staircase(5).delayed(3)",
    "step_decay(0.1, step_size=2).in_epochs(5)",
    "cosine_decay_restarts(0.1, first_decay_steps=100, t_mul=1.5).in_samples(32)",
    "0.5 * inverse_sqrt().in_tokens(1000)",
]


def halved(step):
    return 0.1 / (1 + step)


def factor(step):
    return 0.97 if step % 3 else 0.99


TEXTS = ENDING + ENDLESS
WRITTEN = [parse(text) for text in TEXTS]
CODED = [
    from_function(halved),
    from_function(halved, steps=20),
    0.1 * cumulative_product(factor),
    cumulative_product(factor, steps=12).then(from_function(halved)).staircase(3),
    from_function(halved).in_epochs(4),
    from_function(halved, steps=20).in_samples(3),
]
SCHEDULES = WRITTEN + CODED
