"""The group `drill` of scripts/bench: a whole restore drill beside the bare restore of the same snapshot."""

import statistics
import sys


def measure(bench, say):
    say("restore drills on a server of drctl's own")
    bench.forget("east", "west")
    bench.drctl("snapshot", "files")
    to = f"host={bench.pg.dir} port={bench.pg.port} user=postgres dbname=again"

    def before(_):
        bench.pg.psql("postgres", "DROP DATABASE IF EXISTS again")
        bench.pg.psql("postgres", "CHECKPOINT")

    bare, drill = "drctl restore, with the row proof", "drctl drill restore: own server, verified, restored, proven, checked, removed"
    runs = bench.rounds(
        [
            (bare, lambda: bench.drctl("restore", "files", "--to", to, "--create")),
            (drill, lambda: bench.drctl("drill", "restore", "files")),
        ],
        before,
    )
    if any(r.result()["drill"]["outcome"] != "passed" for r in runs[drill]):
        sys.exit("bench: a drill did not pass")
    base = bench.wall(runs[bare])
    bench.table(
        "Restore drill",
        ["what", "wall s", "x restore"],
        [(name, f"{bench.wall(r):.2f}", f"{bench.wall(r) / base:.2f}") for name, r in runs.items()],
    )
    phases = [{p["name"]: p["seconds"] for p in r.result()["drill"]["phases"]} for r in runs[drill]]
    bench.table(
        "Phases of a restore drill",
        ["phase", "s"],
        [(name, f"{statistics.median(p.get(name, 0) for p in phases):.2f}") for name in phases[0]],
    )
    bench.claim("restore drill, beside the bare restore", bench.wall(runs[drill]) / base, 1.6)
    before(None)
