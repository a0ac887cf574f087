"""A study of somebody's own script: each run is a start of it, watched and judged.

Forest ─► asking: Start (folder, command, judge) ─► slots ─► Ended ─► outcome: curve, Record ─► store
              ▲ sharing: a donor's checkpoint                               ╰─► telling: what was witnessed, caveats
--check ─► check: what may be claimed and shared        --verify ─► verify        --from-script ─► first: a file
"""
