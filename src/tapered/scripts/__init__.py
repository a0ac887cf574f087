"""One run of somebody's train.py: what it is asked, what it says, how it ends. It knows nothing of studies.

Asked, rates ─► run.json, rates.f64 ─► the script, within the witness ─► applied.csv, reports.jsonl ─► rates, metrics
Template, values ─► Command ─► supervise: start, watch, end, start again ─► Ended ─► result.json     slots: many of them
"""
