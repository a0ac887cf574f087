"""The training of rows: a problem, its rows, and the only training loop.

Workload (model, loss, data, metrics) ─► start ─► Rows ─► advance(to a step) ─► Rows ─► evaluate ─► losses, metrics
                                                           │
                          mode: loop (ordinary PyTorch), or stack under vmap, compiled by program
"""
