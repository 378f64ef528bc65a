# shellcheck shell=bash disable=SC2154,SC2034
# Second act of scripts/demo: both copies are proven, one is damaged and repaired, and a restore is
# proven row by row.

chapter "Both copies, proven: every object is downloaded, hashed, undone, and its rows are counted"
at=$EPOCHREALTIME
run 0 'drctl verify petforce --depth content'
verify_seconds=$(seconds_since "$at")
says "Everything is as promised."
objects=$(sed -nE 's/^petforce: ([0-9,]+) of ([0-9,]+) objects? \([^)]*\) checked at depth content.*/\1 \2/p' <<<"$said")
[ -n "$objects" ] && [ "${objects% *}" = "${objects#* }" ] || fail "not every object was checked: $objects"
objects=${objects% *}
run 0 'drctl list'
says "complete, verified"

chapter "One bit of one part in us-west-2 goes bad"
ask 'drctl show latest --json'
generation=$("$JQ" -r .manifest.generation <<<"$said")
list=$("$JQ" -r '.manifest.tables[] | select(.name == "messages") | .list' <<<"$said")
ask "aws --profile west s3 cp --quiet s3://petforce-dr-usw2/dr/petforce/$generation/lists/$list.json.zst - | $ZSTD -dqc"
part=$("$JQ" -r '.parts[0] | .base // .digest' <<<"$said")
object=s3://petforce-dr-usw2/dr/petforce/$generation/parts/${part:0:2}/$part.zst
say "It holds the first rows of petforce.messages:"
run 0 "aws --profile west s3 cp --no-progress $object part"
run 0 "python -c 'f = open(\"part\", \"r+b\"); f.seek(100000); b = f.read(1)[0]; f.seek(100000); f.write(bytes([b ^ 1]))'"
run 0 "aws --profile west s3 cp --no-progress part $object"

say
say "A listing cannot see that, for the object has its name and its size:"
run 0 'drctl verify petforce --store west --depth listing'
say
say "Looking inside can:"
run 3 'drctl verify petforce --store west --depth content'
says "$part"
says "petforce.messages"
[ "$(grep -c '^  damaged: ' <<<"$said")" = 1 ] || fail "verify should have found exactly one thing"
holds "that part, of that table, in that store, and nothing else"

chapter "A restore from the damaged copy is refused, and leaves nothing that could pass for whole"
run 3 'drctl restore petforce --to beside --store west --create'
run 0 'psql -X -A -t -c "SELECT datname, shobj_description(oid, '"'pg_database'"') FROM pg_database WHERE datname LIKE '"'petforce%'"'"'
case "$said" in *petforce_restored\|*) fail "a restore that failed left petforce_restored" ;; esac
says "not whole" "there is no petforce_restored; what was loaded says that it is not whole"

chapter "The other region has the part: away with the bad object, and copy what is missing"
run 0 "aws --profile west s3 rm $object"
run 0 'drctl copy petforce --from east --to west'
says "Copied 1 object"
run 0 'drctl verify petforce --store west --depth content'
says "Everything is as promised." "us-west-2 is whole again"

chapter "A restore from the copy in us-west-2, beside the original, and the proof"
at=$EPOCHREALTIME
run 0 'drctl restore petforce --to beside --store west --create'
restore_seconds=$(seconds_since "$at")
says "EQUAL"
holds "every row is the row that was read"

say
say "And as psql counts them:"
tables="owners pets appointments measurements invoices events messages records"
count=$(for t in $tables; do printf "SELECT '%s' AS \"table\", count(*) AS rows FROM petforce.%s UNION ALL " "$t" "$t"; done)
printf '%s ORDER BY 1;\n' "${count% UNION ALL }" >"$work/count.sql"
run 0 'psql -X -A -t -d petforce -f count.sql | tee original'
run 0 'psql -X -A -t -d petforce_restored -f count.sql | tee restored'
run 0 'diff original restored && echo the same'
counted=$(awk -F'|' '{ n += $2 } END { print n }' "$work/restored")
[ "$counted" = "$next_rows" ] || fail "psql counts $counted rows, the snapshot holds $next_rows"
holds "$(count "$counted") rows in both"
