#!/usr/bin/env bash
# Runs every test: those of cargo, then the client examples, then what the libraries of others check. One that
# fails hides no other. The last lines name what has failed, and the very last one counts over all. `make test` runs
# this.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

logs="$(mktemp -d)"
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What the tests touch of the schema, they note there.
export TESTS_TOUCHED="$logs/touched"
cargo test --workspace --all-features --no-fail-fast 2>&1 | tee "$logs/cargo"
cargo=${PIPESTATUS[0]}
cargo test --workspace --all-features --test touched -- --ignored 2>&1 | tee "$logs/last-cargo"
last=${PIPESTATUS[0]}
cargo=$((cargo > last ? cargo : last))
unset TESTS_TOUCHED
client-examples/test.sh 2>&1 | tee "$logs/examples"
examples=${PIPESTATUS[0]}
tests/conformance/test.sh 2>&1 | tee "$logs/conformance"
conformance=${PIPESTATUS[0]}

echo
awk -v cargo="$cargo" -v examples="$examples" -v conformance="$conformance" '
  function fails(what) { print "FAILED  " what; failed++; named++ }
  # The end of a file of tests, which a crash ends without a result.
  function ends() {
    if (file != "" && !result) fails(file ": it ended without a result")
    file = ""
  }

  # What the scripts say.
  FILENAME !~ /cargo$/ {
    if (!of_scripts) { ends(); cargo_named = named; of_scripts = 1 }
    script = FILENAME
    sub(/.*\//, "", script)
    if (sub(/^FAILED: /, "")) { fails(script == "examples" ? "client-examples: " $0 : $0); script_named[script]++ }
    if (/^(examples|conformance): [0-9]+ passed/) passed += $2
    next
  }
  /^ +Running [^(]* \(/ || /^ +Doc-tests / {
    ends()
    file = $0
    sub(/^ +Running (unittests )?/, "", file)
    sub(/^ +Doc-tests /, "the examples in the documentation of ", file)
    # The crate is told by the name of what runs, as in (target/debug/deps/talksy_server-0123).
    crate = file
    if (sub(/.*\//, "", crate) && sub(/-[0-9a-f]+\)$/, "", crate) && file ~ /^src\//) {
      sub(/ \(.*/, "", file); file = crate " " file
    }
    sub(/ \(.*/, "", file)
    result = 0
    next
  }
  # The list of names comes last; what failing tests have printed comes before, under a like line.
  /^failures:$/ { listing = 1; count = 0; next }
  listing && /^    [^ ]/ { names[++count] = $1; next }
  /^test result: / {
    result = 1
    passed += $4
    for (n = 1; n <= count && listing; n++) fails(file ": " names[n])
    listing = count = 0
  }
  END {
    if (!of_scripts) { ends(); cargo_named = named }
    if (cargo != 0 && !cargo_named) fails("cargo test: it ended with code " cargo)
    if (examples != 0 && !script_named["examples"]) fails("client-examples: they ended with code " examples)
    if (conformance != 0 && !script_named["conformance"]) fails("conformance: it ended with code " conformance)
    print passed + 0 " passed, " failed + 0 " failed"
    exit failed > 0
  }
' "$logs/cargo" "$logs/last-cargo" "$logs/examples" "$logs/conformance"
