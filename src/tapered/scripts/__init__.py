"""Somebody's own training script as a run: what it is asked, what it says, how it ends.

command, Asked ─► supervise ─► the script, a witness in front of it ─► reports, applied rates ─► judge ─► Ended
"""
