"""Text and plain values to schedules: `parse` is the way back from `str`, `from_dict` from `to_dict`.

Nothing is evaluated: the text is parsed into a syntax tree, and the tree is walked over the names of names.py.
"""

import ast
import inspect
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from tapered.schedules import amounts, checks, elsewhere, operators
from tapered.schedules.base import Schedule, as_schedule
from tapered.schedules.controllers import Controller, steered
from tapered.schedules.names import CONTROLLERS, FUNCTIONS, KINDS, METHODS, OPERATORS, RECIPES
from tapered.schedules.short import SHORT, spelled

SCHEDULES: dict[str, Callable[..., Schedule | Controller]] = {**KINDS, **RECIPES, **CONTROLLERS}
DEEPEST = 250  # of pieces within pieces: their values are found by as many calls within calls
_DICT = 'write for example {"name": "warmup", "steps": 200}'


def parse(text: str, words: Mapping[str, int | Schedule] = MappingProxyType({})) -> Schedule:
    """The schedule that an expression writes: what `str` prints, or what a person would type.

    Takes the names of this package with positional and keyword arguments, numbers, `*`, `+`, brackets and a schedule's
    methods. A bare number is a constant. Where `words` has `steps`, a short name stands for a whole run's decay, alone
    or times a number: constant, linear, cosine, exponential, polynomial, inverse_sqrt, rex, wsd, one_cycle.

    Args:
        text: The expression.
        words: Words that stand for whole numbers, or for schedules. With them numbers may also be computed with, by
            + - * / and //, exactly; what a word is part of is rounded to the nearest whole number (halves to the even
            one) where an argument counts steps, and nowhere else.

    Raises:
        TypeError: `text` is no str.
        ValueError: anything else than such an expression, or arguments that a schedule refuses; names the piece.

    Example:
        >>> parse("3e-4 * warmup(200).then(hold(1600)).then(cooldown(400, shape='1-sqrt'))").horizon
        2200
        >>> parse("hold(0.5*steps).then(cooldown((steps - 100) / 2))", {"steps": 2001})
        hold(1000).then(cooldown(950))
        >>> parse("3e-4 * cosine", {"steps": 2000})
        0.0003 * cosine_decay(decay_steps=2000)
        >>> parse("cosine_deca(decay_steps=10)")
        Traceback (most recent call last):
        ...
        ValueError: cannot read "cosine_deca": no schedule has this name; did you mean cosine_decay?
    """
    if not isinstance(text, str):
        raise TypeError(f'parse takes a str, got {text!r:.80}; write parse("3e-4 * warmup(200)")')
    value = parse_rate(text, words)
    if isinstance(value, Controller):
        raise ValueError(f'cannot read "{text:.200}" as a schedule: {value.why_no_table()}')  # noqa: TRY004  # a text
    return value


def parse_rate(text: str, words: Mapping[str, int | Schedule] = MappingProxyType({})) -> Schedule | Controller:
    """What `lr` may be as an expression writes it: a schedule, or a rule that follows a loss.

    Args:
        text: the expression.
        words: what stands for a number or a schedule in it, as of `parse`.

    Raises:
        ValueError: as `parse`.

    Example:
        >>> parse_rate("3e-4 * warmup(0.1*steps).then(plateau(factor=0.5))", {"steps": 2000})
        (0.0003 * warmup(200)).then(plateau(0.0003, factor=0.5))
    """
    value = _value_of(text, words)
    return value if isinstance(value, Controller) else as_schedule(value)


def followed(text: str) -> Schedule:
    """What a group follows whose text this is: a schedule, or the path that a controller steers.

    Args:
        text: as `str` prints it.

    Raises:
        ValueError: as `parse`.

    Example:
        >>> followed("plateau(0.1).in_state(rate=0.01, before=0.1, since=4)")(5)
        0.01
    """
    value = parse_rate(text)
    return steered(value) if isinstance(value, Controller) else value


def _value_of(text: str, words: Mapping[str, int | Schedule]) -> Any:
    try:
        value = _Reader(text, words).schedule(spelled(ast.parse(text.strip(), mode="eval").body, words))
    except SyntaxError as error:
        raise ValueError(f'cannot read "{text:.200}": {error.msg} at character {error.offset}') from None
    except (RecursionError, MemoryError):
        raise ValueError(f'cannot read "{text:.80}...": too deeply nested') from None
    except OverflowError:
        raise ValueError(f'cannot read "{text:.200}": no float is that large') from None
    if not isinstance(value, Schedule) and (isinstance(value, (bool, str, tuple)) or value is None):
        raise ValueError(f'cannot read "{text:.200}": it is no schedule; write for example 3e-4 * warmup(200)')
    return value


class _Reader:
    """Walks a syntax tree; `text` is quoted in refusals, `words` stand for numbers and schedules."""

    def __init__(self, text: str, words: Mapping[str, int | Schedule]) -> None:
        self.text, self.words, self.depth = text.strip(), words, 0

    def schedule(self, node: ast.expr) -> Any:
        return amounts.settled(self.read(node), count=False)

    def refusal(self, node: ast.AST, reason: str) -> ValueError:
        known = self.near(node.id) if isinstance(node, ast.Name) else ""
        return ValueError(f'cannot read "{self.piece(node)}": {reason}{known}')

    def near(self, name: str) -> str:
        """What to write instead of a name that stands for nothing here."""
        if name in SCHEDULES:
            return f"; write {name}(...)"
        known = (*SCHEDULES, *SHORT, *self.words) if self.words else SCHEDULES
        return elsewhere.hint(name) or checks.suggestion(name, known)

    def piece(self, node: ast.AST) -> str:
        """The beginning of what a node was written as; ast's own way takes seconds for long lines."""
        line, start, end = (getattr(node, name, None) for name in ("lineno", "col_offset", "end_col_offset"))
        if line is None or start is None or end is None or line != getattr(node, "end_lineno", line):
            return self.text[:200]
        written: bytes = self.text.encode(errors="replace").split(b"\n")[line - 1][start : min(end, start + 800)]
        return written.decode(errors="ignore")[:200]

    def read(self, node: ast.expr) -> Any:
        """What a piece of the tree stands for; `RecursionError` where it lies deeper than schedules can be used."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise RecursionError
        found = self.value(node)
        self.depth -= 1
        return found

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float() as number)):
                return -number if isinstance(node.op, ast.USub) else number
            case ast.Tuple() | ast.List():
                return tuple(self.read(item) for item in node.elts)
            case ast.BinOp(op=ast.Mult() | ast.Add()):
                return self.combine(node)
            case ast.Call():
                return self.call(node)
            case _ if self.words:
                return self.worded(node)
            case _:
                raise self.refusal(node, "a schedule is written with names, numbers, *, + and methods only")

    def worded(self, node: ast.expr) -> amounts.Amount | Schedule:
        """What stands beside schedules only where words do."""
        match node:
            case ast.Name() if node.id in self.words:
                word = self.words[node.id]
                return word if isinstance(word, Schedule) else amounts.Amount(Fraction(word), follows=True)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self.computed(node, ast.Sub if isinstance(node.op, ast.USub) else ast.Add, 0, node.operand)
            case ast.BinOp(op=ast.Sub() | ast.Div() | ast.FloorDiv()):
                return self.computed(node, type(node.op), node.left, node.right)
            case _:
                known = ", ".join(self.words)
                raise self.refusal(
                    node, f"a schedule is written with names, numbers, {known}, + - * / // and methods only"
                )

    def combine(self, node: ast.BinOp) -> Any:
        left, right = self.read(node.left), self.read(node.right)
        if any(isinstance(side, (bool, str, tuple)) or side is None for side in (left, right)):
            raise self.refusal(node, "only schedules and numbers can be multiplied and added")
        if self.words and not any(isinstance(side, (Schedule, Controller)) for side in (left, right)):
            return self.computed(node, type(node.op), left, right)
        left, right = (amounts.settled(side, count=False) for side in (left, right))
        return self.apply(node, operator.mul if isinstance(node.op, ast.Mult) else operator.add, left, right)

    def computed(self, node: ast.expr, sign: type[ast.operator], left: Any, right: Any) -> amounts.Amount:
        """Two numbers under an operator."""
        sides = [amounts.amount(self.read(side) if isinstance(side, ast.expr) else side) for side in (left, right)]
        if sides[0] is None or sides[1] is None:
            raise self.refusal(node, "only finite numbers can be computed with; for schedules write -1 * or +")
        try:
            return sides[0].combined(sides[1], amounts.OPERATORS[sign])
        except ValueError as error:
            raise self.refusal(node, str(error)) from None

    def call(self, node: ast.Call) -> Any:
        function = self.callee(node.func)
        names = [keyword.arg for keyword in node.keywords]
        if None in names or len(set(names)) < len(names):
            raise self.refusal(node, "each argument is written out once, without **")
        named = {str(keyword.arg): self.read(keyword.value) for keyword in node.keywords}
        given = [self.read(argument) for argument in node.args]
        if self.words:
            given, named = self.settled(node, function, given, named)
        return self.apply(node, function, *given, **named)

    def settled(
        self, node: ast.AST, function: Callable[..., Any], given: list[Any], named: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Arguments with Python's numbers in the place of exact ones."""
        counting, order = amounts.counting(function), [*inspect.signature(function).parameters]
        places = [*order, *[""] * len(given)]
        try:
            return (
                [amounts.settled(value, count=name in counting) for name, value in zip(places, given, strict=False)],
                {name: amounts.settled(value, count=name in counting) for name, value in named.items()},
            )
        except OverflowError:
            raise self.refusal(node, "no float is that large") from None

    def callee(self, node: ast.expr) -> Callable[..., Any]:
        if isinstance(node, ast.Name):
            return self.named(node)
        if not isinstance(node, ast.Attribute):
            raise self.refusal(node, "only names and methods can be called")
        receiver = self.read(node.value)
        if isinstance(receiver, Controller) and node.attr == "in_state":
            return receiver.in_state
        if isinstance(receiver, Controller):
            raise self.refusal(node, f"nothing is done to a rule but * and .in_state; {receiver.why_no_table()}")
        if not isinstance(receiver, Schedule):
            raise self.refusal(node.value, "only a schedule has methods")
        if node.attr not in METHODS:
            raise self.refusal(node, f"a schedule has no method {node.attr:.80}{checks.suggestion(node.attr, METHODS)}")
        return getattr(receiver, node.attr)  # type: ignore[no-any-return]  # one of the methods

    def named(self, node: ast.Name) -> Callable[..., Schedule | Controller]:
        if node.id in FUNCTIONS:
            raise self.refusal(node, "it holds Python code, which no text can carry; make it in Python")
        if node.id not in SCHEDULES:
            raise self.refusal(node, "no schedule has this name")
        return SCHEDULES[node.id]

    def apply(self, node: ast.AST, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Calls what the whitelist holds; what it refuses is refused with the piece of text."""
        try:
            return function(*arguments, **named)
        except (TypeError, ValueError, OverflowError) as error:
            unknown = _unknown_argument(function, named)
            raise self.refusal(node, unknown or str(error)) from None


def _unknown_argument(function: Callable[..., Any], named: Mapping[str, Any]) -> str:
    if not named:
        return ""
    known = inspect.signature(function).parameters
    wrong = [name for name in named if name not in known]
    if not wrong:
        return ""
    return f"it has no argument {wrong[0]:.80}{checks.suggestion(wrong[0], known)} (it takes {', '.join(known)})"


def from_dict(values: Mapping[str, Any]) -> Schedule:
    """The schedule that `to_dict` wrote; unknown names and keys are refused.

    Args:
        values: plain values, as of JSON or TOML: "name" and the fields that are not the default.

    Raises:
        TypeError: `values` is no mapping.
        ValueError: an unknown name or key, or a value that the schedule refuses.

    Example:
        >>> from_dict({"name": "warmup", "steps": 200})
        warmup(200)
    """
    try:
        return _from_dict(values)
    except RecursionError:
        raise ValueError(f"cannot read a schedule that is so deeply nested; {_DICT}") from None


def _from_dict(values: Mapping[str, Any]) -> Schedule:
    if not isinstance(values, Mapping):
        raise TypeError(f"from_dict takes a mapping, got {values!r:.80}; {_DICT}")
    name, known = str(values.get("name")), KINDS | OPERATORS
    if name in FUNCTIONS:
        raise ValueError(f"{name} holds Python code, which no dict can carry; make it in Python")
    if name not in known:
        raise ValueError(f"no schedule has the name {name!r:.80}{checks.suggestion(name, known)}; {_DICT}")
    arguments = {key: _value(value) for key, value in values.items() if key != "name"}
    unknown = _unknown_argument(known[name], arguments)
    if unknown:
        raise ValueError(f"cannot read {name}: {unknown}; {_DICT}")
    made = known[name](**arguments)
    # Multiplied anew, so that a number among the factors goes to the front as ever.
    return operators.multiplied(made.left, made.right) if isinstance(made, operators.product) else made


def _value(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_value(item) for item in value)
    return _from_dict(value) if isinstance(value, Mapping) else value
