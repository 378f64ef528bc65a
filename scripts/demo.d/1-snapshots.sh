# shellcheck shell=bash disable=SC2154
# First act of scripts/demo: snapshots into two regions.

# newest FILTER: leaves a figure of the newest snapshot in $said.
newest() {
  ask "drctl list petforce --json"
  said=$("$JQ" -r ".snapshots[-1].snapshot | $1" <<<"$said")
}

chapter "The first snapshot: everything, into both regions at once"
at=$EPOCHREALTIME
run 0 'drctl snapshot petforce'
first_seconds=$(seconds_since "$at")
newest .facts.totals.rows
rows=$said
newest .facts.totals.stored_bytes
first_bytes=$said
newest .facts.totals.new_bytes
[ "$said" = "$first_bytes" ] || fail "the first snapshot counts $said of $first_bytes bytes as new"
holds "$(count "$rows") rows, $(size "$first_bytes") in each region, in $first_seconds s"

chapter "An hour of business: some rows here and there, and 1 % of the events all over their table"
cat >"$work/hour.sql" <<'END'
SET search_path = petforce;
INSERT INTO owners (email, full_name, created_at)
  SELECT 'new.' || i || '@example.org', 'New Owner ' || i, now() FROM generate_series(1, 100) i;
UPDATE appointments SET state = 'cancelled' WHERE id BETWEEN 5000 AND 5050;
DELETE FROM measurements WHERE pet_id = 4711;
UPDATE events SET payload = payload || '{"seen": true}' WHERE id % 100 = 42;
END
run 0 'cat hour.sql'
run 0 'psql -X -d petforce -f hour.sql'
says "UPDATE $((SCALE / 100))" "$((SCALE / 100)) events changed, one in a hundred"

chapter "The next snapshot: what did not change is neither read nor uploaded"
at=$EPOCHREALTIME
run 0 'drctl snapshot petforce'
next_seconds=$(seconds_since "$at")
newest .facts.totals.new_bytes
next_bytes=$said
newest .facts.totals.rows
next_rows=$said
[ "$next_bytes" -gt 0 ] || fail "the second snapshot found nothing new"
[ "$((next_bytes * 20))" -lt "$first_bytes" ] || fail "the second snapshot stored $next_bytes new bytes"
share=$(awk -v a="$next_bytes" -v b="$first_bytes" 'BEGIN { printf "%.2f %%", 100 * a / b }')
holds "$(size "$next_bytes") of new parts for each region: $share of the first snapshot's"
run 0 'drctl list'
newest '[.shares[] | "\(.store) \(.state)"] | join(", ")'
[ "$said" = "east complete, west complete" ] || fail "the newest snapshot's stores: $said"
run 0 'drctl show latest'
