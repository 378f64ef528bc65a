# shellcheck shell=bash disable=SC2154,SC2034
# Third act of scripts/demo: a client writes all the time, us-east-1 is killed, and drctl fails over
# to us-west-2 by runbook.

chapter "The service runs in us-east-1; a client finds it by its name and writes all the time"
run 0 'lab write app'
sleep 2
run 0 'lab status'
says "app.        us-east-1" "clients are sent to us-east-1"

chapter "Before anything happens: is all there that a failover needs?"
run 4 "drctl preflight"
run 0 'drctl status'
says "ready" "us-west-2 could take over now"

chapter "What a failover would do, in which order, in what time, and what would be lost"
run 0 'drctl failover --dry-run --mode forced'
says "promote"

chapter "us-east-1 is lost: its database, its AWS and its app are killed"
run 0 'lab fail east kill'
run 0 'lab status'
says "us-east-1
  db        REFUSES"
run 1 'drctl status'
says "not ready" "drctl says so too, and what it does not know it calls unknown"

chapter "Failover to us-west-2: the replica is promoted, the app scaled up, the name repointed"
at=$EPOCHREALTIME
# 6: done, and one thing is left to do: the quarantine of a primary that is gone.
run 6 'drctl failover --mode forced --confirm us-west-2 --accept-unfenced --accept-loss unknown --as ann --reason "us-east-1 is gone"'
failover_seconds=$(seconds_since "$at")

chapter "The client is back"
# It asks DNS again when its answer is TTL seconds old.
back=
for _ in $(seq $((TTL * 10 + 50))); do
  ask 'lab writes --json'
  back=$("$JQ" -r '.regions["us-west-2"].first // empty' <<<"$said")
  if [ -n "$back" ]; then break; fi
  sleep 0.1
done
[ -n "$back" ] || fail "no write was acknowledged by us-west-2"
back_seconds=$(awk -v a="$at" -v b="$(date -d "$back" +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
lost_writes=$("$JQ" -r .lost <<<"$said")
acknowledged=$("$JQ" -r .acknowledged <<<"$said")
run 0 'lab status'
says "app.        us-west-2"
says "PostgreSQL, primary"
run 0 'lab writes'
holds "us-west-2 takes writes, $back_seconds s after the failover was confirmed; $lost_writes acknowledged writes were lost"

chapter "The report, and the proof that nobody changed the journal"
ask 'drctl runs list --json'
failover=$("$JQ" -r '.runs[0].run' <<<"$said")
run 0 "drctl runs show $failover"
says "succeeded"
run 0 "drctl runs verify $failover"
report=$target/demo-report
rm -rf "$report"
run 0 "drctl runs report $failover --out $report"
page=$(find "$report" -name '*.html')
[ -s "$page" ] || fail "there is no page in $report"
holds "the page for people is $page"
