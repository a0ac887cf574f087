"""Calls as text: `"CosineAnnealingLR(T_max=100, eta_min=1e-5)"` to a name and its arguments. Nothing is evaluated."""

import ast
import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tapered.schedules.checks import suggestion

ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True)
class Call:
    """A name and its arguments, which may hold further calls."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def bound(self, signature: inspect.Signature) -> dict[str, Any]:
        """The arguments by name, with defaults.

        Raises:
            TypeError: arguments that the signature does not have, or that are missing.
        """
        try:
            found = signature.bind(*self.args, **self.kwargs)
        except TypeError as error:
            unknown = [name for name in self.kwargs if name not in signature.parameters]
            near = suggestion(unknown[0], signature.parameters) if unknown else ""
            raise TypeError(f"{self.name}: {error}{near}; it is called as {self.name}{signature}") from None
        found.apply_defaults()
        return dict(found.arguments)


def read_call(text: str) -> Call:
    """The call that a text writes: a name, perhaps dotted, and arguments of numbers, strings, lists, dicts and calls.

    A bare name that stands alone as the first argument, such as `optimizer`, is passed over.

    Raises:
        ValueError: anything else, naming the piece; also a lambda, since it is code.

    Example:
        >>> read_call("lr_scheduler.LinearLR(optimizer, start_factor=1/4, total_iters=10)")
        Call(name='LinearLR', args=(), kwargs={'start_factor': 0.25, 'total_iters': 10})
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        found = _Reader(text.strip()).read(node)
    except SyntaxError as error:
        raise ValueError(f'cannot read "{text:.200}": {error.msg} at character {error.offset}') from None
    except (RecursionError, MemoryError):
        raise ValueError(f'cannot read "{text:.80}...": too deeply nested') from None
    if isinstance(found, Call):
        return found
    raise ValueError(f'cannot read "{text:.200}": it is no call; write for example "StepLR(step_size=30)"')


class _Reader:
    """Walks a syntax tree over a whitelist; `text` is quoted in refusals."""

    def __init__(self, text: str) -> None:
        self.text = text

    def refusal(self, node: ast.AST, reason: str) -> ValueError:
        return ValueError(f'cannot read "{ast.get_source_segment(self.text, node) or self.text:.200}": {reason}')

    def read(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                number = self.number(node.operand)
                return -number if isinstance(node.op, ast.USub) else number
            case ast.BinOp():
                return self.combined(node)
            case ast.Tuple() | ast.List():
                return tuple(self.read(item) for item in node.elts)
            case ast.Dict():
                return self.mapping(node)
            case ast.Call():
                return self.call(node)
            case ast.Lambda():
                raise self.refusal(
                    node, "a lambda is code, which text cannot carry; convert the live scheduler in Python"
                )
        raise self.refusal(node, "only a call with numbers, strings, lists, dicts and further calls can be read")

    def number(self, node: ast.expr) -> Any:
        value = self.read(node)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.refusal(node, "only numbers can be computed with")
        return value

    def combined(self, node: ast.BinOp) -> Any:
        if type(node.op) not in ARITHMETIC:
            raise self.refusal(node, "numbers are computed with +, -, *, / and // only")
        left, right = self.number(node.left), self.number(node.right)
        try:
            return ARITHMETIC[type(node.op)](left, right)
        except (ZeroDivisionError, OverflowError) as error:
            raise self.refusal(node, str(error)) from None

    def mapping(self, node: ast.Dict) -> dict[Any, Any]:
        found = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None or not isinstance(name := self.read(key), (int, float, str)):
                raise self.refusal(node, "a dict's keys are numbers or strings, without **")
            found[name] = self.read(value)
        return found

    def call(self, node: ast.Call) -> Any:
        name = self.name(node.func)
        args = node.args[1:] if node.args and isinstance(node.args[0], ast.Name) else node.args
        names = [keyword.arg for keyword in node.keywords]
        if None in names or len(set(names)) < len(names):
            raise self.refusal(node, "each argument is written out once, without **")
        # `optimizer=optimizer` says as little as the first argument
        given = [word for word in node.keywords if not (word.arg == "optimizer" and isinstance(word.value, ast.Name))]
        kwargs = {str(keyword.arg): self.read(keyword.value) for keyword in given}
        if name == "dict" and not args:
            return kwargs
        return Call(name, tuple(self.read(argument) for argument in args), kwargs)

    def name(self, node: ast.expr) -> str:
        match node:
            case ast.Name():
                return node.id
            case ast.Attribute(value=ast.Name() | ast.Attribute()):
                self.name(node.value)
                return node.attr
        raise self.refusal(node, "only names can be called")
