"""The group `runner` of scripts/bench: what a runner with 200 databases costs while nothing is due, and how soon
it begins what is due.
"""

import datetime
import json
import os
import re
import signal
import subprocess
import sys
import time

DATABASES = 200
IDLE = 60


def cpu_and_memory(pid):
    """Seconds of processor that a process has used, and the bytes that it has in memory."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status") as file:
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), resident


class Home:
    def __init__(self, bench, drctl, name, on, databases, parallel, more=""):
        self.bench, self.drctl = bench, drctl
        self.folder = os.path.join(bench.top, name)
        os.makedirs(self.folder)
        self.config = os.path.join(self.folder, "drctl.toml")
        url = f"host={bench.pg.dir} port={bench.pg.port} user=postgres dbname=many"
        text = '[project]\nname = "bench"\n[regions]\nprimary = "us-east-1"\nstandby = "us-west-2"\n'
        for store, region in (("east", "us-east-1"), ("west", "us-west-2")):
            text += f'[store.{store}]\nurl = "file://{self.folder}/{store}"\nregion = "{region}"\n'
        for n in range(databases):
            text += f'[database.d{n:03}]\nurl = "{url}"\nstores = ["east", "west"]\njobs = 1\npg_bin = "{bench.pg.bin}"\n'
        text += f'[objectives]\nrpo = "6h"\n[runner]\nmax_parallel = {parallel}\n[[job]]\nrun = "snapshot"\non = "{on}"\n{more}'
        with open(self.config, "w") as file:
            file.write(text)

    def start(self, *more):
        log = open(os.path.join(self.folder, "log"), "w")
        command = [self.drctl, "--config", self.config, "runner", "--log", "json", *more]
        return subprocess.Popen(command, env=self.bench.pg.env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def events(self, kind):
        with open(os.path.join(self.folder, "log")) as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if line["event"] == kind]


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def end(child):
    child.send_signal(signal.SIGTERM)
    child.wait(60)


def measure(bench, say, drctl):
    bench.pg.fresh("many")
    bench.pg.psql("many", "CREATE TABLE t AS SELECT generate_series(1, 100) AS n")

    say(f"runner: a snapshot of each of {DATABASES} databases")
    # Due at once, as they never ran, and then not for the time that this takes.
    home = Home(bench, drctl, "idle", "0 0 1 1 *", DATABASES, 4)
    begun = time.monotonic()
    child = home.start("--once")
    if child.wait(1200) != 0:
        sys.exit("bench: a snapshot failed: " + "; ".join(e["message"] for e in home.events("job_ended"))[-2000:])
    everything = time.monotonic() - begun

    say(f"runner: idle for {IDLE} s")
    child = home.start()
    time.sleep(30)
    before, _ = cpu_and_memory(child.pid)
    time.sleep(IDLE)
    after, memory = cpu_and_memory(child.pid)
    share = (after - before) / IDLE * 100
    end(child)

    say(f"runner: {DATABASES} jobs of one minute")
    # A command that does next to nothing; what is measured is when each is begun.
    home = Home(bench, drctl, "pace", "* * * * *", DATABASES, DATABASES, 'catch_up = "none"\n')
    # Started so that the minute's own turn is too late by then.
    now = datetime.datetime.now(datetime.timezone.utc)
    time.sleep((70 - now.second) % 60 or 60)
    child = home.start()
    limit = time.monotonic() + 180
    late = []
    while len(late) < DATABASES and time.monotonic() < limit:
        time.sleep(1)
        turns = {}
        for event in home.events("job_started"):
            turns.setdefault(event["turn"], []).append((moment(event["at"]) - moment(event["turn"])).total_seconds())
        # The first whole minute: not what the start itself found due.
        turns = {turn: times for turn, times in turns.items() if min(times) < 5}
        late = max(turns.values(), key=len, default=[])
    end(child)
    if len(late) < DATABASES:
        sys.exit(f"bench: only {len(late)} jobs were begun")
    late.sort()
    bench.table(f"A runner with {DATABASES} databases", ["what", "figure"],
                [(f"a snapshot of each into both stores, 4 at a time (`--once`)", f"{everything:.0f} s"),
                 ("memory while nothing is due", f"{memory / 1e6:.0f} MB"),
                 ("processor while nothing is due", f"{share:.2f} % of a core"),
                 ("jobs of one minute, all with a place: the median is begun after", f"{late[len(late) // 2]:.2f} s"),
                 ("the last is begun after", f"{late[-1]:.2f} s")])
    bench.claim("memory of an idle runner with 200 databases", memory / 1e6, 100, "MB")
    bench.claim("processor of an idle runner with 200 databases", share, 1, "% of a core")
    bench.claim("scheduling delay of the last of 200 jobs of one minute", late[-1], 1, "s")
