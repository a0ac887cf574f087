r"""The pass backwards over a schedule's rates that bounds its last iterate, and the search for its one free number.

With U = u^2, A = a^2 and d_k = h_k / u_{k+1} the recursion of `worst.py` needs no root:

    U_{N+1} = A                U_k = U_{k+1} + 2 h_k + h_k^2 / U_{k+1}
    V_{N+1} = A G_{N+1}^2      V_k = V_{k+1} + h_k^2 G_k^2 / U_{k+1}

Every A gives a bound, so the search may look at steps in blocks; what it finds is then evaluated step by step. A
block's rates sum to little beside those after it, hence beside U >= 2 (h_k + ... + h_N), and are taken at U in its
middle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tapered.theory.given import Floats
from tapered.words import brief

Objective = Callable[[Floats, Floats], Floats]
FINE = 2.0**-8  # of a block's sum beside those after it
SPACING, ZOOM, ROUNDS, MARGIN = 0.25, 33, 3, 7.0  # of the search over ln A
TINY = 1e-17
FARTHEST = 600.0  # within float64's range
NARROW = (1e-3, 1e-4)  # distances of the three points of a parabola through exact values
CHUNK = 2**10


@brief
@dataclass(frozen=True, eq=False)
class Backward:
    """Rates and squared norms of the steps whose rate is not 0; the others move nothing and add nothing.

    Args:
        rates: Of each such step, the largest 1.
        squares: G^2 at these steps.
        last: G^2 after the last step.
    """

    rates: Floats
    squares: Floats
    last: float

    @cached_property
    def blocks(self) -> list[tuple[float, float, float, float]]:
        """From the last to the first: 2 sum of h, sum of h^2, sum of h^2 G^2, and how far U is from its middle."""
        h, g2 = self.rates[::-1], self.squares[::-1]
        sums, begins, following = np.cumsum(h), [0], 1
        while following < len(h):
            begins.append(following)
            most = max(sums[following - 1], self._tiny) * (1 + FINE)
            following = max(following + 1, int(np.searchsorted(sums, most, side="right")))
        s, q, w = (np.add.reduceat(part, begins) for part in (h, h * h, h * h * g2))
        return list(zip((2 * s).tolist(), q.tolist(), w.tolist(), (s - q / s).tolist(), strict=True))

    @cached_property
    def _tiny(self) -> float:
        """What the last rates may sum to, and A may be, without a trace in float64."""
        return TINY * float(self.rates.sum()) * min(float(self.squares.min()), self.last)

    def at(self, log: float) -> tuple[float, float]:
        """U and V at the first step for A = exp(log), step by step; by chunks, so that rounding does not add up."""
        U = float(np.exp(log))
        V = U * self.last
        for low in range(len(self.rates), 0, -CHUNK):
            part = slice(max(low - CHUNK, 0), low)
            h = self.rates[part][::-1]
            q = h * h
            u = v = 0.0
            for two, square, weighted in zip(
                (2 * h).tolist(), q.tolist(), (q * self.squares[part][::-1]).tolist(), strict=True
            ):
                now = U + u
                v += weighted / now
                u += two + square / now
            U, V = U + u, V + v
        return U, V

    def least_anywhere(self, log: float, peak: float) -> float:
        """The least of `D^2 / (p U_k) + p V_k` over all steps k that the bound may begin at, step by step; D = 1."""
        U = float(np.exp(log))
        V = U * self.last
        least = 1 / (peak * U) + peak * V
        for h, g2 in zip(self.rates[::-1].tolist(), self.squares[::-1].tolist(), strict=True):
            V += h * h * g2 / U
            U += 2 * h + h * h / U
            least = min(least, 1 / (peak * U) + peak * V)
        return least

    def search(self, objective: Objective, *, high: float = 0.0, anywhere: bool = False) -> float:
        """ln A where an objective of U and V is about least: a grid over all that A can be, then closer and closer.

        Args:
            objective: Of U and V at the first step.
            high: ln of what A may reach beside the sum of the rates.
            anywhere: Take the least over all steps instead of the first step's.
        """
        spread = -float(np.log(min(self.squares.min(), self.last)))
        low = max(float(np.log(max(self.rates.min(), self._tiny))) - spread - MARGIN, -FARTHEST)
        high = min(max(float(np.log(2 * self.rates.sum())), high) + spread + MARGIN, FARTHEST)
        grid = np.linspace(low, high, 2 + int((high - low) / SPACING))
        for _ in range(ROUNDS):
            values = self._values(np.exp(grid), objective, anywhere=anywhere)
            best = int(np.argmin(values))
            found = float(grid[best])
            grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], ZOOM)
        return found

    def _values(self, A: Floats, objective: Objective, *, anywhere: bool) -> Floats:  # noqa: N803
        U, V = A.copy(), A * self.last
        with np.errstate(over="ignore", divide="ignore"):
            least = objective(U, V)
            for two, q, w, middle in self.blocks:
                inside = U + middle
                V += w / inside
                U += two + q / inside
                if anywhere:
                    least = np.minimum(least, objective(U, V))
            return least if anywhere else objective(U, V)

    def refined(self, log: float, objective: Callable[[float, float], float]) -> float:
        """ln A at the bottom of the parabola through exact values beside it."""
        for far in NARROW:
            for _ in range(8):
                left, here, right = (objective(*self.at(log + move)) for move in (-far, 0.0, far))
                bend = left - 2 * here + right
                move = far * (left - right) / (2 * bend) if bend > 0 else far * np.sign(left - right)
                log += float(np.clip(move, -far, far))
                if abs(move) < far:
                    break
        return log
