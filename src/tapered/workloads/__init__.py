"""The built-in workloads, a file each."""

from tapered.workloads.bmi import bmi as bmi

__all__ = ["bmi"]
