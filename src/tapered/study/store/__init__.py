"""What is kept of a study: the folder is the truth, and nothing in it is trusted before it is checked.

Bundle, Rows ─► Store.put ─► runs/NAME.json (text), runs/NAME-HASH.safetensors
                   ╰── finished runs ─► ledger.db, or a queue ─► a database's server (both for Optuna)
Store.bundles, Store.rows ◄─ the same, with their digests compared
"""
