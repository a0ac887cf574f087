"""A study's plan and result as tables, sentences and JSON.

Forecast, StudyResult, Verified ─► fields: JSON        ─► text: rows of tables, sentences
"""

from tapered.study.summary.fields import forecast_fields, rate_path, summary, verified_fields
from tapered.study.summary.text import (
    arm_rows,
    between,
    comparison_rows,
    cost_lines,
    finite,
    forecast_rows,
    gained,
    headline,
    number,
    outcome,
    searched_lines,
    verified_line,
    workers_line,
)

__all__ = [
    "arm_rows",
    "between",
    "comparison_rows",
    "cost_lines",
    "finite",
    "forecast_fields",
    "forecast_rows",
    "gained",
    "headline",
    "number",
    "outcome",
    "rate_path",
    "searched_lines",
    "summary",
    "verified_fields",
    "verified_line",
    "workers_line",
]
