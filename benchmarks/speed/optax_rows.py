"""The perceptron of rows.py under optax and jit(vmap(scan)); prints its first call's seconds, then one figure a line.

    python benchmarks/speed/optax_rows.py ROWS SEEDS STEPS

Each line read from standard input asks for one measurement: seconds an update of a row. Each row has its own rate and
its seed's weights and minibatches; the minibatches' indices are made before and not timed.
"""

import sys
import time

try:
    import jax
    import jax.numpy as jnp
    import optax
except ImportError:
    sys.exit(0)  # nothing printed: rows.py says how to install it

SIZE, WIDTHS = 32, (2, 32, 32, 2)


def weights(key):
    keys = jax.random.split(key, len(WIDTHS) - 1)
    shapes = zip(keys, WIDTHS[:-1], WIDTHS[1:], strict=True)
    return [((jax.random.normal(k, (i, o)) / i**0.5), jnp.zeros(o)) for k, i, o in shapes]


def loss(params, x, labels):
    for matrix, bias in params[:-1]:
        x = jax.nn.relu(x @ matrix + bias)
    outputs = x @ params[-1][0] + params[-1][1]
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()


def trainer(x, labels):
    """One row: from a key, a peak and the indices of every minibatch to its losses."""

    def train(key, peak, batches):
        optimizer = optax.adam(optax.exponential_decay(peak, 1, 0.9999))
        params = weights(key)

        def update(carry, indices):
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params, x[indices], labels[indices])
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(update, (params, optimizer.init(params)), batches)

    return train


def main():
    rows, seeds, steps = map(int, sys.argv[1:])
    x = jax.random.normal(jax.random.key(0), (4096, 2))
    labels = (x.sum(1) > 0).astype(int)
    order = jax.random.randint(jax.random.key(1), (seeds, steps, SIZE), 0, len(x))
    keys = jax.random.split(jax.random.key(2), seeds)[jnp.arange(rows) % seeds]
    given = keys, jnp.logspace(-5, -1, rows), order[jnp.arange(rows) % seeds]
    train = jax.jit(jax.vmap(trainer(x, labels)))

    def seconds():
        begun = time.perf_counter()
        jax.block_until_ready(train(*given))
        return time.perf_counter() - begun

    print(seconds(), flush=True)
    for _ in sys.stdin:
        print(seconds() / (rows * steps), flush=True)


if __name__ == "__main__":
    main()
