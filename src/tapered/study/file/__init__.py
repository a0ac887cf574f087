"""What a study states: its TOML file read and checked, before anything is trained.

FILE.toml ─► read ─► Stated: Study (arms, peaks, seeds, metric), its workload, the hashes of the workload's code
"""
