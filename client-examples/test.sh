#!/usr/bin/env bash
# Runs the examples, each as somebody who has copied it: from a copy in a temporary directory, installed
# from its lock file, beside a server of its own. `make test` runs it behind the tests of cargo. The
# last line counts what passed and failed. Names as arguments run only these: `test.sh apollo shell`.
# `test.sh release-schema` tests nothing; it is what `make release-schema` runs.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/harness/checks.sh"

npm_example() {
  local name="$1"
  copy "$name"
  check "$name: installs" run_in "$work/$name" npm ci --silent --no-fund --no-audit &&
    check "$name: its types are those of the schema, and compile" \
      run_in "$work/$name" npm run --silent build &&
    check "$name: a chat, live, through SIGTERM and SIGKILL of the server" \
      beside_a_server "$work/$name" npm test --silent || true
}

python_example() {
  copy python
  check "python: installs" install_python &&
    check "python: its types are consistent" run_in "$work/python" .venv/bin/mypy --strict . &&
    check "python: a chat, live, through SIGTERM and SIGKILL of the server" \
      beside_a_server "$work/python" .venv/bin/python -m unittest || true
}
install_python() {
  python3 -m venv "$work/python/.venv" &&
    "$work/python/.venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
      -r "$work/python/requirements-test.txt"
}

shell_example() {
  copy shell
  check "shell: a chat, live, through SIGTERM and SIGKILL of the server" \
    beside_a_server "$work/shell" ./test.sh || true
}

graphiql_example() {
  check "graphiql: keeps no secrets, and takes none from pages of elsewhere" \
    node --test "$examples/graphiql/test/storage.test.mjs" "$examples/graphiql/test/handed.test.mjs" || true
  check "graphiql: is served, whole and from one origin" \
    beside_a_server "$examples/graphiql" node check.mjs || true
  check "graphiql: a newcomer signs in and asks, at the width of a phone too" \
    beside_a_server "$work/harness" node --test --test-timeout=180000 graphiql.test.mjs || true
}

# told PATTERN…: shows what the last check has measured, from where one of the patterns begins to the end of the line.
told() {
  local IFS='|'
  grep -Eo "($*).*" "$work/output" | sed 's/^/    /'
}

web_example() {
  local name=web
  copy "$name"
  export CHAT_WEB="$work/web"
  check "$name: installs" run_in "$work/web" npm ci --silent --no-fund --no-audit &&
    check "$name: its types are those of the schema, and compile" \
      run_in "$work/web" npm run --silent types &&
    check "$name: its replica and its queue, through random schedules" \
      run_in "$work/web" npm test --silent &&
    check "$name: builds" run_in "$work/web" npm run --silent build &&
    check "$name: loads no more JavaScript at first than it may" \
      run_in "$work/web" npm run --silent size &&
    check "$name: two people chat in browsers, and the network is cut" \
      many_sign_in beside_a_server "$work/harness" node --test --test-timeout=600000 web.test.mjs &&
    told '100,000 messages:' 'a key to the other screen:' '[0-9]+ messages a second for' || true
  check "$name: talksy demo, its plug, its counter and GraphiQL from it" \
    run_in "$work/harness" env "CHAT_BINARY=$talksy" node --test --test-timeout=180000 demo.test.mjs &&
    told 'from .talksy demo. to' || true
  check "$name: what Lighthouse needs: installs" \
    run_in "$work/harness/lighthouse" npm ci --silent --no-fund --no-audit &&
    check "$name: Lighthouse finds it accessible, and of good practice" \
      beside_a_server "$work/harness/lighthouse" node --test --test-timeout=300000 lighthouse.test.mjs &&
    told '(sign-in|chat): .*performance [0-9]+$' || true
}

# Needs what the example for Node.js has installed.
documents() {
  copy shared graphiql/src documents
  check "the documents of GraphiQL, of the guide and of what is shared fit the schema" \
    node --test "$work/harness/documents.test.mjs" || true
}

# What Relay's compiler writes has its documents as they are sent.
compiled() {
  copy apollo urql relay node python shell shared graphiql
  [[ -d "$work/relay/src/__generated__" ]] ||
    (cd "$work/relay" && npm ci --silent --no-fund --no-audit && npm run --silent generate)
}

# What is written down of the last release.
compatibility() {
  check "the examples' documents are found" compiled || return 0
  check "each kind of change to the schema is judged" \
    node --test "$work/harness/compatibility.test.mjs" "$work/harness/release.test.mjs" || true
  check "the schema breaks no client of the last release" \
    node "$work/harness/release.mjs" compare "$repo" || true
  check "the server answers the documents of the last release, and today's" \
    many_sign_in beside_a_server "$work/harness" node --test --test-timeout=120000 replay.test.mjs || true
  check "a server of registered documents answers them by their ids" \
    many_sign_in registered beside_a_server "$work/harness" \
    node --test --test-timeout=120000 replay.test.mjs || true
}
registered() {
  export CHAT_REGISTRY="$work/registry.json"
  "$@"
}
many_sign_in() {
  export CHAT_REPOSITORY="$repo" CHAT_SETTINGS='limits.login_ip={ burst = 1000, period = "1s" }'
  "$@"
}

# No test: keeps the schema and the documents as those of the version in Cargo.toml.
release_schema() {
  compiled
  node "$work/harness/release.mjs" record "$repo" "$work"
  exit
}

# The snippets of the guide.
guide() {
  check "the guide's snippets are in the files that it names" node "$examples/harness/guide.mjs" || true
}

names=("$@")
((${#names[@]} > 0)) || names=(guide graphiql shell python node documents apollo urql relay web compatibility)
# What keeps a release needs no server.
[[ "${names[*]}" == release-schema ]] || build_server
copy harness
check "what the tests need beside the examples: installs" \
  run_in "$work/harness" npm ci --silent --no-fund --no-audit || true
[[ "${names[*]}" == release-schema ]] ||
  check "a test that is stopped leaves no server" node --test "$work/harness/with-server.test.mjs" || true
for name in "${names[@]}"; do
  case "$name" in
    apollo | urql | relay | node) npm_example "$name" ;;
    python | shell | graphiql | web) "${name}_example" ;;
    *) "${name//-/_}" ;;
  esac
done
echo
echo "examples: $passed passed, $failed failed"
((failed == 0))
