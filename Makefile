# Talksy's commands. `make run` and `make test` are all a newcomer needs.

# Node's assets that are built into the server binary.
GRAPHIQL := client-examples/graphiql/dist/index.html.gz
GRAPHIQL_SOURCES := $(filter-out %/dist %/node_modules,$(wildcard client-examples/graphiql/*)) $(wildcard client-examples/graphiql/src/*)
WEB := client-examples/web/dist/packed/index.html.br
WEB_SOURCES := $(shell find client-examples/web client-examples/shared client-examples/documents schema/schema.graphql \
	\( -name node_modules -o -name dist -o -name generated \) -prune -o -type f -print)
PAGES := $(GRAPHIQL) $(WEB)

.PHONY: run demo dist test lint fmt sdl release-schema example bench hostile fuzz soak audit pages screenshots clean-data

# How many random schedules `make soak` runs; how many rounds of kills, and how often the example of
# a replica; how many messages each of up to 48 senders sends to one chat.
SOAK ?= 1000000
KILLS ?= 200
REPLICAS ?= 25
MESSAGES ?= 200

# How many seconds `make fuzz` runs each target.
FUZZ ?= 60

## Build in the shortest time, say how long it took, and start on the embedded default:
## http://127.0.0.1:4000 is the web chat.
run: $(PAGES)
	bash -c 'time cargo build --profile quick --bin talksy'
	cargo run --quiet --profile quick --bin talksy

## The same with people in it, on data that is thrown away: opens a browser.
demo: $(PAGES)
	bash -c 'time cargo build --profile quick --bin talksy'
	cargo run --quiet --profile quick --bin talksy -- demo

## Build what is shipped, small and fast, and say how long it took: target/release/talksy, and the
## mail worker beside it.
dist: $(PAGES)
	bash -c 'time cargo build --release --locked --bin talksy --bin talksy-mail-worker'

## Run every test: installs the servers that tests start, then Rust, the client examples, and other people's tools. The
## last lines say which failed.
test: $(PAGES)
	tests/install-servers.sh
	cargo build --workspace --all-features --bins --tests
	tests/run.sh

## Formatting, clippy and rustdoc with warnings denied, dependencies that nothing uses, and the SDL.
lint: $(PAGES)
	cargo fmt --all --check
	command -v cargo-machete >/dev/null || cargo install --locked cargo-machete
	cargo machete
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --quiet
	cargo test --quiet -p talksy-schema --all-features the_published_sdl_is_this_schema

fmt:
	cargo fmt --all

## Write schema/schema.graphql from the code.
sdl:
	TALKSY_WRITE_SDL=1 cargo test --quiet -p talksy-schema --all-features the_published_sdl_is_this_schema

## Keep the schema, and what the examples send, as those of the release in Cargo.toml, which later
## schemas are held to: schema/released/
release-schema:
	client-examples/test.sh release-schema

## Write server/talksy.example.toml from the declarations of the settings.
example: $(PAGES)
	TALKSY_WRITE_EXAMPLE=1 cargo test --quiet -p talksy-server --lib the_example_file_is_what_the_declarations_say

## Measure against the limits of the machine, in one run. BENCH=--quick for a short one,
## BENCH='--only inbox' for one room; BENCH=--help lists them.
bench: $(PAGES)
	npm ci --prefix tests/bench/audits --silent --no-fund --no-audit
	cargo build --release --bin talksy
	cargo run --release -p talksy-bench --features stock -- $(BENCH)

## Attack the server in every way that we know of, and tell what each attack has cost beside its bound.
## HOSTILE=--quick for a short run, HOSTILE='--only documents' for one kind,
## HOSTILE='--write docs/HOSTILE.md' to write the table there; HOSTILE=--help lists more.
hostile: $(PAGES)
	cargo build --release --bin talksy
	cargo run --release -p talksy-bench -- hostile $(HOSTILE)

## Run each fuzz target for FUZZ seconds, with cases that no run before has had, and as many
## operations of each field that Schemathesis draws, five for each second. `make test` runs a few hundred of each,
## always the same.
fuzz: $(PAGES)
	TALKSY_FUZZ_SECONDS=$(FUZZ) cargo test --release -p talksy-domain --test fuzz
	TALKSY_FUZZ_SECONDS=$(FUZZ) cargo test --release -p talksy-server -p talksy-redis \
		-p talksy-mail-worker --lib fuzz::
	cargo build --bin talksy
	FUZZ_SEED=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') FUZZ_EXAMPLES=$$(($(FUZZ) * 5)) \
		tests/conformance/test.sh fuzz

## Run for long what `make test` runs briefly: kills of servers and backends, the example of a
## replica, the crowded chat, and the random schedules of the feeds: over MongoDB, where one costs a
## hundred times as much, a hundredth of them. SOAK=20000 KILLS=20 REPLICAS=3
## MESSAGES=20 for a shorter one.
soak: $(PAGES)
	tests/install-servers.sh
	npm ci --prefix client-examples/node --silent --no-fund --no-audit
	npm run --prefix client-examples/node --silent build
	cargo build --release --bins
	TALKSY_KILL_ROUNDS=$(KILLS) cargo test --release -p talksy-tests \
		--test shutdown_and_crash --test cluster -- acknowledged --nocapture
	TALKSY_REPLICA_RUNS=$(REPLICAS) cargo test --release -p talksy-tests \
		--test cluster -- a_replica_ends_equal --ignored --nocapture
	TALKSY_FAIRNESS_MESSAGES=$(MESSAGES) cargo test --release -p talksy-tests \
		--test mongo -- fairness::with --nocapture --test-threads 1
	TALKSY_TEST_SCHEDULES=$(SOAK) TALKSY_TEST_MONGO_SCHEDULES=$$(($(SOAK) / 100)) \
		cargo test --release -p talksy-tests --test schedules -- --nocapture

## Check licences, sources and advisories of the dependencies (installs cargo-deny on first use).
audit:
	.ci/audit

## Build GraphiQL and the web chat, which the server embeds.
pages: $(PAGES)

$(GRAPHIQL): $(GRAPHIQL_SOURCES)
	cd client-examples/graphiql && npm ci --no-fund --no-audit && npm run build
	@touch $@

$(WEB): $(WEB_SOURCES)
	cd client-examples/web && npm ci --no-fund --no-audit && npm run build
	@touch $@

## Take the pictures of docs/images/ anew, in Debian's Chromium. They are looked at before they are committed:
## apt-get install chromium fonts-inter fonts-noto-color-emoji
screenshots: $(PAGES)
	cargo build --bin talksy
	npm ci --prefix client-examples/harness --silent --no-fund --no-audit
	CHAT_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}/debug/talksy")" \
		node client-examples/harness/screenshots.mjs

clean-data:
	rm -rf data
