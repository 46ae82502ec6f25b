#!/usr/bin/env bash
# Runs the examples, each as somebody who has copied it: from a copy in a temporary directory, installed
# from its lock file, beside a server of its own. `make test` runs it behind the tests of cargo. The
# last line counts what passed and failed. Names as arguments run only these: `test.sh apollo shell`.
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
  check "graphiql: keeps no secrets" node --test "$examples/graphiql/test/storage.test.mjs" || true
  check "graphiql: is served, whole and from one origin" \
    beside_a_server "$examples/graphiql" node check.mjs || true
}

# Needs what the example for Node.js has installed.
documents() {
  copy shared graphiql/src
  check "the documents of GraphiQL and of what is shared fit the schema" \
    node --test "$work/harness/documents.test.mjs" || true
}

# The snippets of the guide.
guide() {
  check "the guide's snippets are in the files that it names" node "$examples/harness/guide.mjs" || true
}

build_server
copy harness
names=("$@")
((${#names[@]} > 0)) || names=(guide graphiql shell python node documents apollo urql relay)
for name in "${names[@]}"; do
  case "$name" in
    apollo | urql | relay | node) npm_example "$name" ;;
    python | shell | graphiql) "${name}_example" ;;
    *) "$name" ;;
  esac
done
echo
echo "examples: $passed passed, $failed failed"
((failed == 0))
