"""The claims of the question that this project began with, each measured by studies that anyone can repeat."""

from tapered.claims.base import Answer, Claim, Word

__all__ = ["CLAIMS", "Answer", "Claim", "Word"]

# in order; each is a file of its own
CLAIMS: tuple[Claim, ...] = ()
