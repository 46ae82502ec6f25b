#!/usr/bin/env bash
# Runs the examples against a server of their own: a free port, a temporary data directory.
# `make test` runs it behind the tests of cargo. The last line counts what passed and failed.
set -euo pipefail

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$repo"
examples="$repo/client-examples"
talksy="$(realpath -m "${CARGO_TARGET_DIR:-$repo/target}")/debug/talksy"

work="$(mktemp -d)"
log="$work/server.log"
server=
child=
passed=0
failed=0

cleanup() {
  if [[ -n "$child" ]] && kill -0 "$child" 2>/dev/null; then
    kill -KILL "$child"
  fi
  if [[ -n "$server" ]] && kill -0 "$server" 2>/dev/null; then
    kill -KILL "$server"
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# check NAME COMMAND…: runs it, shows what it says, counts it.
check() {
  local name="$1"
  shift
  echo "--- $name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
  fi
}

finish() {
  if ((failed > 0)) && [[ -s "$log" ]]; then
    echo "--- the end of the server's log"
    tail -n 20 "$log"
  fi
  echo
  echo "examples: $passed passed, $failed failed"
  ((failed == 0)) || exit 1
  exit 0
}

# Runs a command so that a signal to this script ends it at once: bash handles signals only
# between commands, or in `wait`.
run() {
  local code=0
  "$@" &
  child=$!
  wait "$child" || code=$?
  child=
  return "$code"
}

# Starts the server in $work, away from a developer's talksy.toml and TALKSY_ variables, and sets
# $server and $url.
start() {
  local name
  for name in "${!TALKSY_@}"; do unset "$name"; done
  (cd "$work" && exec "$talksy" --listen 127.0.0.1:0 --data-dir "$work/data") 2>"$log" &
  server=$!
  local deadline=$((SECONDS + 60))
  while ((SECONDS < deadline)); do
    url="$(sed -nE 's|.*Talksy serves (https?://[^/ ]+)/graphql.*|\1|p' "$log" | head -n 1)"
    [[ -z "$url" ]] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
  echo "the server did not start"
  return 1
}

# Asks the server to stop. It must do so by itself, with exit code 0.
stop() {
  local code=0 deadline=$((SECONDS + 60))
  kill -TERM "$server"
  while kill -0 "$server" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.05; done
  kill -KILL "$server" 2>/dev/null && echo "the server did not stop in time"
  wait "$server" || code=$?
  server=
  ((code == 0)) || echo "exit code $code instead of 0"
  return "$code"
}

# `cargo test` builds the binary only where a test of its package needs it.
if [[ ! -x "$talksy" || -n "$(find schema server mail-worker Cargo.lock -newer "$talksy" -type f -print -quit)" ]]; then
  cargo build --quiet --bin talksy
fi

check "the resume example installs" \
  run npm ci --prefix "$examples/resume" --silent --no-fund --no-audit
check "the replica example installs" \
  run npm ci --prefix "$examples/replica" --silent --no-fund --no-audit
check "the code generator installs" \
  run npm ci --prefix "$examples/codegen" --silent --no-fund --no-audit
check "the operations fit the schema and their types compile" \
  run npm run --prefix "$examples/codegen" --silent check
check "GraphiQL keeps no secrets" run node --test "$examples/graphiql/test/storage.test.mjs"
check "the server starts" start
if [[ -n "${url:-}" ]]; then
  check "a dropped socket loses nothing" \
    run env CHAT_URL="$url" CHAT_OUTBOX="$work/data/outbox" node "$examples/resume/resume.mjs"
  check "a replica that is killed and cut off ends equal to the server's answer" \
    run env CHAT_URL="$url" CHAT_OUTBOX="$work/data/outbox" node "$examples/replica/check.mjs"
  check "GraphiQL is served, whole and from one origin" \
    run env CHAT_URL="$url" node "$examples/graphiql/check.mjs"
  check "the server stops on SIGTERM" stop
fi
finish
