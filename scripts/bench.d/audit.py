"""The group `audit` of scripts/bench: audits beside the same work by hand, and 100,000 parts on moto.

Run as a program it is a moto server that holds the 100,000 parts: `audit.py serve PORT TEMPLATE PARTS`.
"""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

PARTS = 100_000
TABLES = 10


def objects(template, parts):
    """A repository of one snapshot with so many parts of a few bytes, made after a real manifest."""
    manifest = json.load(open(template))
    manifest.pop("seal")
    database, generation, snapshot = manifest["database"], manifest["generation"], manifest["id"]
    prefix = f"{database}/{generation}"
    table = manifest["tables"][0]
    tables, each = [], parts // TABLES
    zero = "0" * len(table["row_digest"])
    for t in range(TABLES):
        listed = []
        for i in range(each):
            stored = f"part {t} {i}".encode()
            digest = hashlib.sha256(b"raw " + stored).hexdigest()
            listed.append({"digest": digest, "stored_digest": hashlib.sha256(stored).hexdigest(), "stored": len(stored),
                           "raw": 1, "rows": 0, "row_digest": zero, "from": i, "to": i + 1})
            yield f"{prefix}/parts/{digest[:2]}/{digest}.zst", stored
        text = json.dumps({"format": 1, "range_blocks": 1, "blocks": each, "bases": [], "parts": listed}).encode()
        packed = subprocess.run(["zstd", "-q", "-c"], input=text, stdout=subprocess.PIPE, check=True).stdout
        digest = hashlib.sha256(text).hexdigest()
        yield f"{prefix}/lists/{digest}.json.zst", packed
        name = dict(table["name"], name=f"t{t}") if isinstance(table["name"], dict) else f"public.t{t}"
        tables.append(dict(table, name=name, list=digest, list_stored_digest=hashlib.sha256(packed).hexdigest(),
                           list_stored=len(packed), parts=each, rows=0, row_digest=zero, raw_bytes=each, stored_bytes=each))
    archive = b"PGDMP made up"
    yield f"{prefix}/snapshots/{snapshot}/schema.dump", archive
    manifest["tables"] = tables
    manifest["schema"]["stored"] = len(archive)
    manifest["schema"]["stored_digest"] = hashlib.sha256(archive).hexdigest()
    body = json.dumps(manifest, indent=2)
    body = (body[: body.rindex("\n}")] + ",\n").encode()
    seal = json.dumps({"digest": hashlib.sha256(body).hexdigest()}, separators=(",", ":")).encode()
    yield f"{prefix}/snapshots/{snapshot}/manifest.json", body + b'"seal":' + seal + b"}\n"


def serve(port, template, parts):
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket("bench", "us-east-1")
    for key, stored in objects(template, parts):
        digest = base64.b64encode(hashlib.sha256(stored).digest()).decode()
        held = backend.put_object("bench", f"dr/{key}", stored, checksum_value=digest)
        held.checksum_algorithm = "SHA256"
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    print("ready", flush=True)
    signal.pause()


def by_hand(folders):
    """Reading, hashing and decompressing, two processes at a time, many files to a process."""
    work = 'openssl dgst -sha256 "$@" > /dev/null && zstd -dcq "$@" > /dev/null'
    places = " ".join(folders)
    return f"find {places} -name '*.zst' -path '*/parts/*' -print0 | xargs -0 -P2 -n16 sh -c '{work}' sh"


def content(bench, say, run):
    say("audit: content, beside openssl and zstd")
    bench.forget("east", "west")
    bench.drctl("snapshot", "files")
    # Nothing is remembered that would spare reading.
    audit = ["audit", "--database", "files", "--depth", "content", "--jobs", "2"]
    folders = [os.path.join(bench.top, name) for name in ("east", "west")]
    contestants = [
        ("`openssl dgst -sha256` and `zstd -d` of every part, 2 processes", lambda: run(by_hand(folders), env=bench.path())),
        ("`drctl audit --depth content`, jobs = 2", lambda: bench.drctl(*audit)),
    ]
    runs = bench.rounds(contestants)
    hand, ours = (bench.wall(runs[name]) for name, _ in contestants)
    result = runs[contestants[1][0]][-1].result()
    assert result["report"]["findings"] == [], result["report"]["findings"][:3]
    size = sum(d["checked_bytes"] for d in result["report"]["databases"])
    rows = [(name, f"{bench.wall(r):.2f}", f"{bench.wall(r) / hand:.2f}", f"{bench.cpu(r):.2f}", f"{bench.peak(r) / 1e6:.0f}")
            for name, r in runs.items()]
    bench.table(f"Audit at depth content, {size / 1e6:.0f} MB in two folders", ["what", "wall s", "x by hand", "CPU s", "peak MB of a process"], rows)
    bench.claim("audit at depth content, beside hashing and decompressing by hand", ours / hand, 1.3)


def heads(port, bucket, keys, workers=32):
    """How many HEADs a second this server answers a client that does nothing else."""
    from concurrent.futures import ThreadPoolExecutor

    def ask(some):
        with socket.create_connection(("127.0.0.1", port)) as s:
            file = s.makefile("rb")
            for key in some:
                s.sendall(f"HEAD /{bucket}/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: AWS4-HMAC-SHA256 "
                          "Credential=bench/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n".encode())
                assert b" 200 " in file.readline()
                close = False
                while (line := file.readline().strip()):
                    close |= line.lower() == b"connection: close"
                if close:
                    s.close()
                    s = socket.create_connection(("127.0.0.1", port))
                    file = s.makefile("rb")

    begun = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(ask, [keys[i::workers] for i in range(workers)]))
    return len(keys) / (time.monotonic() - begun)


def checksums(bench, say, run, root):
    say(f"audit: checksums of {PARTS:,} parts on moto")
    template = next(os.path.join(d, f) for d, _, fs in os.walk(os.path.join(bench.top, "east/files")) for f in fs if f == "manifest.json")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    python = os.path.join(os.path.dirname(bench.lab["MOTO_SERVER"]), "python")
    server = subprocess.Popen([python, os.path.abspath(__file__), "serve", str(port), template, str(PARTS)], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    bench.children.append(server)
    assert server.stdout.readline() == "ready\n", "moto with its parts does not start"
    path = os.path.join(bench.top, "parts.toml")
    with open(path, "w") as file:
        file.write('[project]\nname = "bench"\n[regions]\nprimary = "us-east-1"\n[store.moto]\nurl = "s3://bench/dr"\n'
                   f'region = "us-east-1"\nendpoint = "http://127.0.0.1:{port}"\npath_style = true\naccess_key_id = "bench"\n'
                   'secret_access_key = "bench"\n[database.files]\nurl = "host=nowhere"\nstores = ["moto"]\n')
    drctl = os.path.join(root, "target/release/drctl")

    def audit(*more):
        # The bucket has no settings, and the snapshot is of long ago or of just now: 3 or 0.
        ran = run([drctl, "--config", path, "--json", "audit", *more], env=bench.path(), ok=(0, 3))
        report = ran.result()["report"]
        assert report["findings"] == [], report["findings"][:3]
        return ran, report["databases"][0]

    listing, seen = audit("--depth", "listing")
    assert seen["checked_objects"] == PARTS + TABLES + 2, seen
    keys = [f"dr/{key}" for key, _ in list(objects(template, PARTS))[: PARTS // 5]]
    rate = heads(port, "bench", keys)
    first, asked = audit()
    again, vouched = audit()
    assert asked["vouched_objects"] == 0 and vouched["vouched_objects"] > PARTS * 0.99, (asked, vouched)
    rows = [
        ("`--depth listing`: manifests, lists and listing alone", f"{listing.wall:.1f}", f"{listing.peak / 1e6:.0f}"),
        (f"`--depth checksums`, the first: a HEAD for each part (moto answers a client that does nothing else {rate:.0f} a second)",
         f"{first.wall:.1f}", f"{first.peak / 1e6:.0f}"),
        ("`--depth checksums`, from then on: the listing vouches for what is unchanged", f"{again.wall:.1f}", f"{again.peak / 1e6:.0f}"),
    ]
    bench.table(f"Audit of {PARTS:,} parts on moto", ["what", "wall s", "peak MB"], rows)
    bench.claim(f"audit, checksums of {PARTS:,} parts, beside listing them", again.wall / listing.wall, 1.3)
    bench.claim(f"audit, the first checksums of {PARTS:,} parts, beside moto's own speed of HEADs", first.wall / (listing.wall + PARTS / rate), 1.3)
    bench.claim(f"audit, checksums of {PARTS:,} parts, peak memory", max(first.peak, again.peak) / 1e6, 200, "MB")
    server.terminate()
    server.wait()


def measure(bench, say, run, root):
    content(bench, say, run)
    checksums(bench, say, run, root)


if __name__ == "__main__":
    if sys.argv[1:2] != ["serve"]:
        sys.exit("this is a part of scripts/bench: scripts/bench --only audit")
    serve(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
