"""A study's plan and result as tables, sentences and JSON.

Forecast, StudyResult, Verified ─► answer: the question, the verdicts    ─► text: tables, sentences    ─► fields: JSON
"""

from tapered.study.summary.answer import (
    SENTENCES,
    arm_rows,
    arms_title,
    asked_lines,
    headline,
    in_order,
    pairs_line,
    verdict_rows,
)
from tapered.study.summary.fields import asked_fields, forecast_fields, rate_paths, summary, verified_fields
from tapered.study.summary.text import (
    between,
    cost_lines,
    finite,
    follow_line,
    forecast_rows,
    gained,
    number,
    outcome,
    searched_lines,
    verified_line,
    workers_line,
)

__all__ = [
    "SENTENCES",
    "arm_rows",
    "arms_title",
    "asked_fields",
    "asked_lines",
    "between",
    "cost_lines",
    "finite",
    "follow_line",
    "forecast_fields",
    "forecast_rows",
    "gained",
    "headline",
    "in_order",
    "number",
    "outcome",
    "pairs_line",
    "rate_paths",
    "searched_lines",
    "summary",
    "verdict_rows",
    "verified_fields",
    "verified_line",
    "workers_line",
]
