#!/usr/bin/env bash
# Holds the server to what the libraries of others check, each beside a server of its own: the audits of
# graphql-http, the behaviours of graphql-ws and graphql-sse, the rules of graphql-eslint, and what Schemathesis
# draws from the schema. All is installed from lock files in a temporary directory. `make test` runs it. The last line
# counts what passed and failed. Names as arguments run only these: `test.sh fuzz`.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../../client-examples/harness/checks.sh"

conformance="$work/conformance"

# Many sign in from one address, and some sockets wait for their turn on a busy machine.
settings=(
  limits.login_ip.burst=100000
  limits.login_network.burst=100000
  limits.verify_ip.burst=100000
  http.websocket.init_timeout=6s
)

# Beside a server with the settings of the array that is named first.
with_settings() {
  local -n of="$1"
  CHAT_SETTINGS="$(printf '%s\n' "${of[@]}")"
  export CHAT_SETTINGS
  beside_a_server "${@:2}"
}

npm_installs() {
  [[ -d "$conformance/node_modules" ]] ||
    check "conformance: installs" run_in "$conformance" npm ci --silent --no-fund --no-audit
}

# One file of tests.
node_tests() {
  npm_installs &&
    check "conformance: $1" with_settings settings "$conformance" \
      node --test --test-force-exit --test-timeout=120000 "$2" || true
}

sdl() {
  npm_installs &&
    check "conformance: the SDL passes graphql-eslint's rules for schemas and for Relay" \
      run_in "$conformance" npm run --silent lint || true
}

fuzz() {
  # Limits of what a user may do in a minute would refuse most of what is drawn. Each request comes from another
  # network.
  local limit limits=(
    limits.cost_user.burst=2000000000
    limits.cost_ip.burst=2000000000
    http.trusted_proxies=127.0.0.1/32
    http.introspection=on
    users.operators=ada@example.org
  )
  for limit in login_ip login_network login_address login_device verify_ip refresh_ip send react typing start_chat \
    change_chats mark_read update_profile find_address search search_ip revoke uploads report moderate; do
    limits+=("limits.$limit.burst=1000000" "limits.$limit.period=1s")
  done
  check "conformance: Schemathesis installs" install_schemathesis &&
    check "conformance: no operation that Schemathesis draws is a fault of the server" \
      with_settings limits "$conformance/fuzz" .venv/bin/python fuzz.py || true
}
install_schemathesis() {
  python3 -m venv "$conformance/fuzz/.venv" &&
    "$conformance/fuzz/.venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
      -r "$conformance/fuzz/requirements.txt"
}

build_server
copy harness
tar -C tests -ch --exclude=node_modules --exclude=.venv --exclude=values --exclude=.schemathesis conformance |
  tar -C "$work" -x
names=("$@")
((${#names[@]} > 0)) || names=(sdl audits websocket sse fuzz)
for name in "${names[@]}"; do
  case "$name" in
    audits) node_tests "graphql-http's audits are all passed" audits.test.mjs ;;
    websocket) node_tests "what graphql-ws's tests check of servers" websocket.test.mjs ;;
    sse) node_tests "what graphql-sse's tests check of servers, in both modes" sse.test.mjs ;;
    *) "$name" ;;
  esac
done
echo
echo "conformance: $passed passed, $failed failed"
((failed == 0))
