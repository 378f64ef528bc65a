"""The group `failover` of scripts/bench: how fast, how lossless and how sure a failover of the lab is.

Everything runs in the two-region lab (`scripts/lab`), a fresh one for each run.
"""

import datetime
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

TTL = 5
STEPS = 100
# So many for each of --runs: 20 and 200 with five.
SWITCHOVERS = 4
KILLS = 40


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

    def times(self, since):
        """When each step of the last run began and ended, in seconds since a moment."""
        steps = self.drctl("runs", "show", "latest")["steps"]
        return [(s["step"], *((moment(s[at]) - since).total_seconds() if s[at] else None for at in ("started", "ended")))
                for s in steps]

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


def back(world):
    """What the client has seen once the standby region has acknowledged a write."""
    limit = time.monotonic() + 30
    while not (seen := world.writes())["regions"]["us-west-2"]["first"]:
        if time.monotonic() > limit:
            sys.exit("bench: no client came back")
        time.sleep(0.1)
    return seen


def forced(make):
    """From the confirmation to the first write that the standby region acknowledged, and what was lost."""
    with make() as world:
        world.drctl("snapshot", "petforce")
        world.client()
        # 4: moto cannot prove quotas and permissions.
        world.drctl("preflight", ok=(0, 4))
        world.lab("fail", "east", "kill")
        confirmed = datetime.datetime.now(datetime.timezone.utc)
        # 6: all but what must not hold a failover up.
        world.drctl("failover", "--mode", "forced", "--confirm", "us-west-2", "--accept-unfenced", "--accept-loss", "unknown",
                    "--as", "bench", "--reason", "measured", ok=(0, 6))
        seen = back(world)
        return (moment(seen["regions"]["us-west-2"]["first"]) - confirmed).total_seconds(), seen["lost"], world.times(confirmed)


def graceful(make):
    """How many acknowledged writes a switchover lost, and how long nobody could write."""
    with make() as world:
        world.client(1.0)
        world.drctl("run", "switchover", "--mode", "graceful", "--confirm", "us-west-2", "--as", "bench", "--reason", "measured",
                    "--skip-preflight", "a bench")
        seen = back(world)
        regions = seen["regions"]
        pause = moment(regions["us-west-2"]["first"]) - moment(regions["us-east-1"]["last"])
        return seen["lost"], pause.total_seconds()


def puts(endpoint, count):
    """Seconds of one conditional put of an entry's size, over one connection."""
    place = urllib.parse.urlsplit(endpoint)
    line = http.client.HTTPConnection(place.hostname, place.port)
    signed = "AWS4-HMAC-SHA256 Credential=test/20200101/us-west-2/s3/aws4_request, SignedHeaders=host, Signature=0"
    taken = []
    for i in range(count):
        begun = time.monotonic()
        line.request("PUT", f"/petforce-dr-usw2/floor/{begun}-{i}", b"x" * 800, {"Authorization": signed, "If-None-Match": "*"})
        answer = line.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"bench: a put ended with {answer.status}")
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


def runbook(count, argv, chained):
    text = 'title = "A bench"\nfrom = "${regions.active}"\nto = "${regions.active}"\nrto = "1d"\nrpo = "1h"\n'
    for i in range(count):
        needs = f'needs = ["s{i - 1}"]\n' if chained and i else ""
        text += (f'[[step]]\nid = "s{i}"\nuses = "command.run"\ntimeout = "1m"\n{needs}'
                 f'with = {{ argv = {json.dumps(argv)}, idempotent = true }}\n')
    return text


def stepwise(world, count, argv, chained):
    """Seconds from the beginning of the first step to the end of the last."""
    with open(os.path.join(world.folder, "bench.toml"), "w") as file:
        file.write(runbook(count, argv, chained))
    world.drctl("run", "./bench.toml", "--confirm", "us-east-1", "--as", "bench", "--reason", "measured",
                "--skip-preflight", "a bench")
    steps = world.drctl("runs", "show", "latest")["steps"]
    return (max(moment(s["ended"]) for s in steps) - min(moment(s["started"]) for s in steps)).total_seconds()


def survive(root, kills):
    """Runs killed at random moments and resumed on this machine or another: the test of it, at length."""
    env = {**os.environ, "DRCTL_KILL_RUNS": str(kills)}
    test = ["cargo", "test", "--quiet", "--test", "it", "runs::killed_at_any_moment"]
    return subprocess.run(test, cwd=root, env=env, stdout=subprocess.DEVNULL).returncode == 0


def region(bench, say, make):
    say("failover: the floor and drctl, in turns")
    floors, ours, lost = [], [], []
    for _ in range(bench.args.runs):
        floors.append(floor(bench, make))
        seconds, gone, times = forced(make)
        say(f"floor {floors[-1]:.1f} s, drctl {seconds:.1f} s, {gone} lost")
        for step, begun, ended in times:
            if begun is not None and ended is not None:
                print(f"   {begun:6.2f} to {ended:6.2f}  {step}", flush=True)
        ours.append(seconds)
        lost.append(gone)
    base, wall = statistics.median(floors), statistics.median(ours)
    bench.table("Region failover in the lab, us-east-1 killed", ["what", "seconds"],
                [(f"floor: `pg_promote` by hand, and the record's TTL of {TTL} s", f"{base:.1f}"),
                 ("drctl, from confirmation to the first acknowledged write of a client that resolves the name", f"{wall:.1f}"),
                 ("acknowledged writes lost, each run", ", ".join(map(str, lost)))])
    bench.claim("region failover, over the floor", wall - base, 5, "s")


def switchovers(bench, say, make):
    count = SWITCHOVERS * bench.args.runs
    say(f"failover: {count} switchovers")
    seen = []
    for i in range(count):
        seen.append(graceful(make))
        say(f"switchover {i + 1}: {seen[-1][0]} lost, {seen[-1][1]:.1f} s without writes")
    pauses = [pause for _, pause in seen]
    bench.table("Switchover in the lab", ["what", "seconds"],
                [("between the last write in us-east-1 and the first in us-west-2, median", f"{statistics.median(pauses):.1f}"),
                 ("the longest", f"{max(pauses):.1f}")])
    bench.claim(f"acknowledged writes lost in {count} switchovers", sum(lost for lost, _ in seen), 0, "writes")


def kills(bench, say, root):
    count = KILLS * bench.args.runs
    say(f"failover: {count} runs killed at random, each resumed")
    wrong = 0 if survive(root, count) else count
    bench.claim(f"wrong end states after {count} runs killed with SIGKILL and resumed", wrong, 0, "runs")


def steps(bench, say, make):
    say(f"failover: {STEPS} steps that do nothing, one after another, journal on S3 (moto)")
    put, whole, aside = [], [], []
    with make() as world:
        endpoint = world.lab("show", "west_aws")
        for _ in range(bench.args.runs):
            put.append(puts(endpoint, 2 * STEPS))
            whole.append(stepwise(world, STEPS, ["true"], True))
            aside.append(stepwise(world, 20, ["sleep", "1"], False))
    # Each step is two entries: begun and ended.
    floor, step = 2 * statistics.median(put), statistics.median(whole) / STEPS
    bench.table(f"A runbook of {STEPS} steps that run `true`, journal on S3 (moto)", ["a step", "ms"],
                [("two conditional puts of the store", f"{floor * 1000:.1f}"), ("drctl", f"{step * 1000:.1f}")])
    bench.claim("a step, over the store's own puts", (step - floor) * 1000, 30, "ms")
    bench.claim("20 independent steps of 1 s each", statistics.median(aside), 4, "s")


PARTS = ["region", "switchovers", "kills", "steps"]


def measure(bench, say, root, drctl, parts):
    subprocess.run(["cargo", "build", "--quiet", "--example", "lab"], cwd=root, check=True)
    make = lambda: World(root, drctl, bench.top)
    for part in parts or PARTS:
        if part == "kills":
            kills(bench, say, root)
        else:
            globals()[part](bench, say, make)
