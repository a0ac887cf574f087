"""The claims of the question that this project began with, each measured by studies that anyone can repeat.

Claim ─► its studies ─► their summaries ─► judge ─► Answer: a word, why, numbers ─► results.json
results.json, sources ─► advice: where to start, for each purpose
"""

from tapered.claims import averaging, q01, q02, q03, q04, q05, q06, q08, q09, q10, q11, q12, q13, refined, theory
from tapered.claims.base import Answer, Claim, Word
from tapered.claims.beside import BESIDE

__all__ = ["CLAIMS", "Answer", "Claim", "Word"]

# in order; each is a file of its own, or shares one with its neighbour
CLAIMS: tuple[Claim, ...] = (
    q01.CLAIM,
    q02.CLAIM,
    q03.CLAIM,
    q04.CLAIM,
    q05.CLAIM,
    q06.CLAIM_DECAYS,
    q06.CLAIM_BOUNDED,
    q08.CLAIM,
    q09.CLAIM,
    q10.CLAIM,
    q11.CLAIM,
    q12.CLAIM,
    q13.CLAIM,
    theory.CLAIM,
    refined.CLAIM,
    averaging.CLAIM,
    *BESIDE,
)
