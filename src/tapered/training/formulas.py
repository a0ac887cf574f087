"""A formula of t in text, such as "(1+t)/(10+t)", at many t at once; nothing of it is evaluated as Python.

text ─► syntax tree ─► walked over numbers, t, + - * / ** and brackets ─► values at every t
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
LONGEST = 200  # characters
LARGEST = 1e300  # number that is written


def values_of(text: str, t: Values) -> Values:
    """The formula's value at every t, in float64; NaN or infinite where it has none, as where it divides by 0.

    Raises:
        ValueError: If the text is no such formula; the message quotes the piece.

    >>> values_of("(1+t)/(10+t)", np.array([1.0, 2.0, 10.0])).tolist()
    [0.18181818181818182, 0.25, 0.55]
    >>> values_of("1 - (1 + t/100)**-0.75", np.array([0.0])).tolist()
    [0.0]
    """
    if len(text) > LONGEST:
        raise ValueError(f'cannot read "{text[:40]}...": expected at most {LONGEST} characters')
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f'cannot read "{text}": {getattr(error, "msg", "it is no formula")}') from None
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.asarray(_value(tree, t), dtype=np.float64), t.shape)


def _value(node: ast.expr, t: Values) -> Any:
    match node:
        case ast.Name(id="t"):
            return t
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool) and number < LARGEST:
            return np.float64(number)  # Python's own would take for ever over 9**9**9
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            value = _value(node.operand, t)
            return -value if isinstance(node.op, ast.USub) else value
        case ast.BinOp() if type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](_value(node.left, t), _value(node.right, t))
    raise ValueError(
        f'cannot read "{ast.unparse(node)}": a formula is written with t, numbers, + - * / ** and brackets'
    )
