"""What has no table: whatever a schedule has and a controller has not, refused with one sentence that says why."""

from typing import Any, NoReturn

from tapered.schedules.base import Schedule


class Untabulated:
    """Where a schedule's values are asked for, it says why there are none."""

    def table(self, *_: Any, **__: Any) -> NoReturn:
        """Refused.

        Raises:
            TypeError: always.
        """
        raise TypeError(self.why_no_table())

    def why_no_table(self) -> str:
        """One sentence, for those who need one."""
        return (
            f"{type(self).__name__} follows the loss, so its rates cannot be tabulated; give it to attach, to an "
            f"optimizer of tapered's or to an arm of a study"
        )

    def __getattr__(self, name: str) -> NoReturn:
        if not name.startswith("_") and hasattr(Schedule, name):
            raise AttributeError(f"{type(self).__name__} has no {name}: {self.why_no_table()}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __call__(self, step: int) -> NoReturn:  # noqa: ARG002  # a schedule's
        """Refused, as `table` is."""
        self.table()

    def __add__(self, other: object) -> NoReturn:
        """Refused, as `table` is."""
        self.table()

    __radd__ = __add__
