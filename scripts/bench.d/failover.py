"""The group `failover` of scripts/bench: how fast, how lossless and how sure a failover of the lab is.

Everything runs in the two-region lab (`scripts/lab`), a fresh one for each run.
"""

import datetime
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TTL = 5
SWITCHOVERS = 20
KILLS = 200


class World:
    """Two regions of the lab, ended with the block; `env` is an operator's."""

    def __init__(self, root, drctl, top, scale=20000, options=()):
        self.root, self.drctl_path = root, drctl
        self.lab_path = os.path.join(root, "target/debug/examples/lab")
        self.folder = tempfile.mkdtemp(prefix="world-", dir=top)
        self.env = {**os.environ, "LAB_WORLD": self.folder, "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench",
                    "AWS_EC2_METADATA_DISABLED": "true"}
        self.env.pop("DRCTL_CONFIG", None)
        arguments = ["serve", "--scale", str(scale), "--ttl", str(TTL), *options]
        self.server = subprocess.Popen([self.lab_path, *arguments], env=self.env, cwd=self.folder)
        begun = time.monotonic()
        while not os.path.exists(os.path.join(self.folder, "socket")):
            if self.server.poll() is not None or time.monotonic() - begun > 120:
                self.end()
                sys.exit("bench: the lab does not start")
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.server.send_signal(signal.SIGTERM)
        try:
            self.server.wait(30)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def lab(self, *args):
        done = subprocess.run([self.lab_path, *args], env=self.env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"bench: `lab {' '.join(args)}` failed")
        return done.stdout.strip()

    def drctl(self, *args, ok=(0,)):
        done = subprocess.run([self.drctl_path, "--json", *args], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode not in ok:
            sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
            sys.exit(f"bench: `drctl {' '.join(args)}` ended with {done.returncode}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    def writes(self):
        return json.loads(self.lab("writes", "--json"))

    def client(self, seconds=2.0):
        """A client that has been writing for a while."""
        self.lab("write", "app")
        time.sleep(seconds)


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def floor(bench, make):
    """The region is lost, and somebody who has waited for it promotes by hand; then a TTL passes."""
    with make() as world:
        world.client()
        world.lab("fail", "east", "kill")
        host, port = world.lab("show", "west_db").split(":")
        psql = [os.path.join(bench.lab["PG15_BIN"], "psql"), "-XqAt", "-h", host, "-p", port, "-U", "postgres", "-c",
                "SELECT pg_promote(true, 60)"]
        begun = time.monotonic()
        subprocess.run(psql, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begun + TTL


def forced(make):
    """From the confirmation to the first write that the standby region acknowledged, and what was lost."""
    with make() as world:
        world.client()
        world.drctl("preflight")
        world.lab("fail", "east", "kill")
        confirmed = datetime.datetime.now(datetime.timezone.utc)
        # 6: all but the quarantine of a primary that is gone.
        world.drctl("failover", "--mode", "forced", "--confirm", "us-west-2", "--accept-unfenced", "--accept-loss", "unknown",
                    "--as", "bench", "--reason", "measured", ok=(0, 6))
        limit = time.monotonic() + 30
        while not (seen := world.writes())["regions"]["us-west-2"]["first"]:
            if time.monotonic() > limit:
                sys.exit("bench: no client came back")
            time.sleep(0.1)
        return (moment(seen["regions"]["us-west-2"]["first"]) - confirmed).total_seconds(), seen["lost"]


def graceful(make):
    """How many acknowledged writes a switchover lost."""
    with make() as world:
        world.client(1.0)
        world.drctl("run", "switchover", "--mode", "graceful", "--confirm", "us-west-2", "--as", "bench", "--reason", "measured",
                    "--skip-preflight", "a bench")
        limit = time.monotonic() + 30
        while not (seen := world.writes())["regions"]["us-west-2"]["first"]:
            if time.monotonic() > limit:
                sys.exit("bench: no client came back")
            time.sleep(0.1)
        return seen["lost"]


def survive(root, kills):
    """Runs killed at random moments and resumed on this machine or another: the test of it, at length."""
    env = {**os.environ, "DRCTL_KILL_RUNS": str(kills)}
    test = ["cargo", "test", "--quiet", "--test", "it", "runs::killed_at_any_moment"]
    return subprocess.run(test, cwd=root, env=env, stdout=subprocess.DEVNULL).returncode == 0


def measure(bench, say, root, drctl):
    subprocess.run(["cargo", "build", "--quiet", "--example", "lab"], cwd=root, check=True)
    make = lambda: World(root, drctl, bench.top)
    say("failover: the floor and drctl, in turns")
    floors, ours, lost = [], [], []
    for _ in range(bench.args.runs):
        floors.append(floor(bench, make))
        seconds, gone = forced(make)
        ours.append(seconds)
        lost.append(gone)
    base, wall = statistics.median(floors), statistics.median(ours)
    bench.table("Region failover in the lab, us-east-1 killed", ["what", "seconds"],
                [(f"floor: `pg_promote` by hand, and the record's TTL of {TTL} s", f"{base:.1f}"),
                 ("drctl, from confirmation to the first acknowledged write of a client that resolves the name", f"{wall:.1f}"),
                 ("acknowledged writes lost, each run", ", ".join(map(str, lost)))])
    bench.claim("region failover, over the floor", wall - base, 5, "s")

    switchovers = SWITCHOVERS if bench.args.runs >= 5 else bench.args.runs
    say(f"failover: {switchovers} switchovers")
    lost = [graceful(make) for _ in range(switchovers)]
    bench.claim(f"acknowledged writes lost in {switchovers} switchovers", sum(lost), 0, "writes")

    kills = KILLS if bench.args.runs >= 5 else 5 * bench.args.runs
    say(f"failover: {kills} runs killed at random, each resumed")
    wrong = 0 if survive(root, kills) else kills
    bench.claim(f"wrong end states after {kills} runs killed with SIGKILL and resumed", wrong, 0, "runs")
