"""What is kept on a disk: whole or not at all, by one writer, and read only as it was written.

bytes ─► whole.write, whole.replace ─► file        folder ─► lock.hold ─► its one writer
values ◄─► tree: JSON and named tensors            fields ◄─► sealed: JSON that carries its own SHA-256
messages ─► wire ─► another process, without pickle

What is wrong with a folder is said by the errors here; `checkpoint` and `study.store` build on all of it.
"""
