# shellcheck shell=bash
# What the acts of scripts/demo share: how it looks, commands that are shown and checked, servers
# that end with the demo.

# --- How it looks ------------------------------------------------------------------------------

bold='' dim='' green='' red='' plain=''
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

chapters=0
chapter() {
  chapters=$((chapters + 1))
  printf '\n%s%d. %s%s\n' "$bold" "$chapters" "$1" "$plain"
}
say() { printf '%s\n' "$*"; }
fail() {
  printf '\n%sThe demo failed: %s%s\n' "$red" "$*" "$plain" >&2
  exit 1
}
# A thing that must be so, told once it is.
holds() { printf '%s✓ %s%s\n' "$green" "$1" "$plain"; }

# --- Nothing is left behind --------------------------------------------------------------------

work=
job=          # the process group under way
servers=()    # process ids, each with the signal that ends it
clean_up() {
  local code=$? server
  trap '' INT TERM HUP PIPE
  trap - EXIT
  if [ -n "$job" ]; then
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  fi
  for server in "${servers[@]}"; do end_server "${server% *}" "${server#* }"; done
  if [ -n "$work" ]; then rm -rf "$work"; fi
  exit "$code"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

# Each job gets a process group of its own, so that it can be ended with all its children: bash
# acts on a signal while it waits for one, and only afterwards for a command in the foreground.
in_job() {
  local code=0
  set -m
  "$@" </dev/null &
  job=$!
  set +m
  wait "$job" || code=$?
  job=
  return "$code"
}

# end_server PID SIGNAL: and SIGKILL if that does not do within ten seconds.
end_server() {
  local i
  for i in $(seq 100); do
    if ! kill -0 "$1" 2>/dev/null; then break; fi
    if [ "$i" = 1 ]; then kill "-$2" "$1" 2>/dev/null || true; fi
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# --- Commands ----------------------------------------------------------------------------------

# run EXIT_CODE COMMAND: shows the command, runs it, shows what it says; its exit code must be that.
# What it wrote to stdout stays in $said.
said=
run() {
  local expected=$1 code=0
  printf '\n%s$ %s%s\n' "$bold" "$2" "$plain"
  in_job shell "$2" >"$work/said" || code=$?
  said=$(cat "$work/said")
  [ -z "$said" ] || printf '%s\n' "$said"
  if [ "$expected" != 0 ]; then printf '%s(exit code %d)%s\n' "$dim" "$code" "$plain"; fi
  [ "$code" = "$expected" ] || fail "\`$2\` ended with exit code $code, not $expected"
}
shell() { (cd "$work" && eval "$1"); }

# As run, without showing it: for figures that the demo checks or sums up.
ask() {
  in_job shell "$1" >"$work/said" || fail "\`$1\` ended with exit code $?"
  said=$(cat "$work/said")
}

# says WHAT COMMENT: the last output must hold WHAT.
says() {
  case "$said" in
    *"$1"*) if [ -n "${2:-}" ]; then holds "$2"; fi ;;
    *) fail "the output above should have said: $1" ;;
  esac
}

# Sizes and counts as drctl writes them.
size() {
  awk -v n="$1" 'BEGIN {
    split("B KiB MiB GiB", unit)
    for (u = 1; n >= 1000 && u < 4; u++) n /= 1024
    printf (u == 1 ? "%d %s" : "%.1f %s"), n, unit[u]
  }'
}
count() { sed -E ':a; s/^([0-9]+)([0-9]{3})/\1,\2/; ta' <<<"$1"; }
seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# --- Servers -----------------------------------------------------------------------------------

# start NAME SIGNAL READY COMMAND...: starts a server with its output in $work/NAME.log, waits until
# the command READY succeeds, and leaves its process id in $started. Fails when the server ends
# instead. SIGNAL ends it.
started=
start() {
  local name=$1 signal=$2 ready=$3 i
  shift 3
  set -m
  "$@" >>"$work/$name.log" 2>&1 </dev/null &
  started=$!
  set +m
  servers+=("$started $signal")
  for i in $(seq 600); do
    if "$ready" && kill -0 "$started" 2>/dev/null; then return 0; fi
    kill -0 "$started" 2>/dev/null || return 1
    sleep 0.1
  done
  cat "$work/$name.log" >&2
  fail "$name is not ready after a minute"
}
lab_ready() { [ -S "$work/socket" ]; }
