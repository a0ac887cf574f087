"""Short names for whole runs: "cosine" where the number of steps is known.

"3e-4 * cosine", steps = 2000 ─► 3e-4 * cosine_decay(decay_steps=steps) ─► 0.0003 * cosine_decay(decay_steps=2000)
"""

import ast
from collections.abc import Container

SHORT = {
    "constant": "constant(1.0)",
    "linear": "linear(steps=steps)",
    "cosine": "cosine_decay(decay_steps=steps)",
    "exponential": "exponential_decay(decay_steps=steps, decay_rate=0.01)",
    "polynomial": "polynomial_decay(decay_steps=steps, end=0.0, power=2.0)",
    "inverse_sqrt": "warmup(0.05*steps).then(inverse_sqrt(timescale=0.05*steps, shift=0.05*steps))",
    "rex": "rex_decay(decay_steps=steps)",
    "wsd": "hold(0.8*steps).then(cooldown(0.2*steps, shape='1-sqrt'))",
    "one_cycle": "one_cycle(total_steps=steps)",
    "plateau": "plateau()",
}


def spelled(tree: ast.expr, words: Container[str]) -> ast.expr:
    """An expression that is a short name, or a number times one, with the name written out; any other as it is.

    Args:
        tree: The expression.
        words: What stands for a number in it.

    Raises:
        ValueError: Nothing says how many steps there are.
    """
    name = tree.right if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult) else tree
    if not isinstance(name, ast.Name) or name.id not in SHORT or name.id in words:
        return tree
    whole = SHORT[name.id]
    if "steps" in whole and "steps" not in words:
        raise ValueError(
            f'cannot read "{name.id}": it is short for {whole}, and nothing says how many steps; write '
            f'parse("{name.id}", {{"steps": 2000}}), or --steps 2000'
        )
    written = ast.parse(whole, mode="eval").body
    return ast.BinOp(tree.left, ast.Mult(), written) if isinstance(tree, ast.BinOp) else written
