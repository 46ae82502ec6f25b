# What the scripts share that run checks beside a server: `. checks.sh`. It changes to the repository, and makes a
# temporary directory, $work, which goes at the end.

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$repo"
examples="$repo/client-examples"
talksy="$(realpath -m "${CARGO_TARGET_DIR:-$repo/target}")/debug/talksy"

work="$(mktemp -d)"
child=
passed=0
failed=0

cleanup() {
  if [[ -n "$child" ]] && kill -TERM "$child" 2>/dev/null; then
    wait "$child" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

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

# check NAME COMMAND…: runs it, shows what it says where it fails, counts it and tells how long it took.
check() {
  local name="$1" start=$SECONDS
  shift
  if run "$@" >"$work/output" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    # Set in: a line that begins with FAILED counts.
    sed 's/^/    /' "$work/output"
    echo "FAILED: $name"
    return 1
  fi
}

# Both take the place of the process that `run` has started, so that a signal reaches the command.
run_in() { cd "$1" && exec "${@:2}"; }
beside_a_server() { run_in "$1" env "CHAT_BINARY=$talksy" node "$work/harness/with-server.mjs" "${@:2}"; }

# Copies folders, with what their links lead to, and without what is made.
copy() {
  tar -C "$examples" -ch --exclude=node_modules --exclude=dist --exclude=generated \
    --exclude=__generated__ "$@" | tar -C "$work" -x
}

# `cargo test` builds the binary only where a test of its package needs it.
build_server() {
  if [[ -n "${CHAT_BINARY:-}" ]]; then
    talksy="$(realpath "$CHAT_BINARY")"
  elif [[ ! -x "$talksy" || -n "$(find schema server mail-worker Cargo.lock -newer "$talksy" -type f -print -quit)" ]]; then
    cargo build --quiet --bin talksy
  fi
}
