"""One run: begun, saved as it goes, resumed, forked at another rate.

words of a command ─► setting_of ─► Setting ─► Single ─► train ─► save ─► checkpoints ─► resume, fork ─► Single
"""
