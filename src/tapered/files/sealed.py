"""JSON that carries its own SHA-256, so that a file that was changed is not read as if it had been written so."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

DIGEST = "digest"
HEAD = re.compile(rf'{{"{DIGEST}":"[0-9a-f]{{64}}",?')  # what stands before the text that is hashed


class UnsealedError(ValueError):
    """A text that is not what was written; the message says what is wrong with it."""


def sealed(fields: Mapping[str, Any], indent: int | None = None) -> str:
    """The fields as JSON, with the SHA-256 of all the others as one more.

    >>> unsealed(sealed({"step": 3}))
    {'step': 3}
    """
    text = json.dumps(fields, allow_nan=False, indent=indent, separators=(",", ":") if indent is None else None)
    return f'{{"{DIGEST}":"{_hashed(text)}"{"," if fields else ""}{text[1:]}'


def unsealed(text: str) -> dict[str, Any]:
    """The fields that `sealed` wrote.

    Raises:
        UnsealedError: it is no JSON, carries no digest, or is not what was written.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsealedError(f"it is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UnsealedError("it is no table of fields")
    digest = fields.pop(DIGEST, None)
    if digest is None:
        raise UnsealedError("it carries no SHA-256, as files of earlier versions did not")
    if digest != _as_it_stands(text) and digest != _by_value(fields):
        raise UnsealedError("it differs from its own SHA-256")
    return fields


def _as_it_stands(text: str) -> str | None:
    head = HEAD.match(text)
    return head and _hashed("{" + text[head.end() :])


def _by_value(fields: Mapping[str, Any]) -> str:
    """As earlier versions wrote it."""
    return _hashed(json.dumps(fields, sort_keys=True, separators=(",", ":")))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
