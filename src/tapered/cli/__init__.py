"""The command line: a file a verb, which reads, calls and prints, and computes nothing.

words ─► main ─► a verb's function ─► results on stdout; progress and errors on stderr; an exit code
"""
