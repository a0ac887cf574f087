"""The claims of the question that this project began with, each measured by studies that anyone can repeat."""

from tapered.claims import q01, q03, q04, q06, q13
from tapered.claims.base import Answer, Claim, Word

__all__ = ["CLAIMS", "Answer", "Claim", "Word"]

# in order; each is a file of its own, or shares one with its neighbour
CLAIMS: tuple[Claim, ...] = (
    q01.CLAIM,
    q03.CLAIM,
    q04.CLAIM,
    q06.CLAIM_DECAYS,
    q06.CLAIM_BOUNDED,
    q13.CLAIM,
)
