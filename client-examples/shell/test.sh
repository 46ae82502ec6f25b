#!/usr/bin/env bash
# Tests that a chat goes on when the server is stopped and killed. Run it beside a server that may be:
#
#     node ../harness/with-server.mjs ./test.sh
set -euo pipefail
for tool in curl jq flock setsid; do
  command -v "$tool" >/dev/null || { echo "FAILED: $tool is not installed" >&2 && exit 1; }
done
cd "$(dirname "$0")"

work="$(mktemp -d)"
follower=
proxy=
cleanup() {
  [[ -z "$proxy" ]] || kill "$proxy" 2>/dev/null || true
  [[ -z "$follower" ]] || kill -KILL -- "-$follower" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

control() { curl -sS --fail-with-body --max-time 60 -X POST "$CHAT_CONTROL$1"; }

# Runs the example as one of the users.
as() { CHAT_SESSION="$work/$1" ./talksy.sh "${@:2}"; }

sign_in() {
  local email="$1-$RANDOM$RANDOM@example.org" challenge
  control "/expect?email=$email"
  challenge="$(as "$1" login "$email")"
  as "$1" verify "$challenge" "$(control "/code?email=$email")"
}

# Waits until so many messages have come.
until_lines() {
  local deadline=$((SECONDS + 30))
  while (($(wc -l <"$work/got") < $1)); do
    ((SECONDS < deadline)) || fail "only $(wc -l <"$work/got") of $1 messages came"
    sleep 0.05
  done
}

sign_in ada >"$work/ada.id"
sign_in grace >"$work/grace.id"
chat="$(as ada start-chat "$(cat "$work/grace.id")")"
variables="$(jq -cn --arg chatId "$chat" '$ARGS.named')"
cursor="$(as grace query 'query Chat($chatId: ID!) { chat(id: $chatId) { headCursor } }' "$variables" |
  jq -r .chat.headCursor)"
# In a process group of its own, so that curl ends with it.
CHAT_SESSION="$work/grace" setsid ./talksy.sh follow "$chat" "$cursor" >"$work/got" &
follower=$!

first="$(as ada send "$chat" 'Hello, "Grace"' | jq -r .id)"
until_lines 1
sent=1
for signal in SIGTERM SIGKILL; do
  # Grace hears nothing of all this until she goes on.
  kill -STOP -- "-$follower"
  control "/stop?signal=$signal"
  # It is sent when the server is there again.
  as ada send "$chat" "While the server was away, $signal" >"$work/pending" &
  pending=$!
  control /start
  wait "$pending"
  as ada send "$chat" "Back again, $signal" >/dev/null
  kill -CONT -- "-$follower"
  sent=$((sent + 2))
  until_lines "$sent"
done
before="$(jq -r .accessToken "$work/grace")"
as grace refresh
[[ "$(jq -r .accessToken "$work/grace")" != "$before" ]] || fail 'the token is the old one'

# A proxy that does not reach the server, and a server that is away, cost nobody their tokens.
node -e '
  const server = require("node:http").createServer((_, response) => {
    response.writeHead(502, { "content-type": "text/html" });
    response.end("<h1>Bad Gateway</h1>");
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
' >"$work/port" &
proxy=$!
until [[ -s "$work/port" ]]; do
  kill -0 "$proxy" || fail 'the proxy did not start'
  sleep 0.05
done
for port in "$(cat "$work/port")" 1; do
  before="$(cat "$work/grace")"
  ! CHAT_URL="http://127.0.0.1:$port" as grace refresh 2>/dev/null || fail 'it refreshed without an answer'
  [[ "$(cat "$work/grace")" == "$before" ]] || fail 'the tokens are lost'
done

edited="$(as ada edit "$first" 'Hello, dear Grace')"
[[ "$(jq -r .text <<<"$edited")" == 'Hello, dear Grace' ]] || fail "the edit answers $edited"
stored="$(as grace query 'query Messages($chatId: ID!) {
  chat(id: $chatId) { messages(last: 100) { nodes { seq text } } } }' "$variables" |
  jq -c '.chat.messages.nodes')"
[[ "$(jq -r '.[0].text' <<<"$stored")" == 'Hello, dear Grace' ]] || fail "the store has $stored"
# All but the first, which was edited later, are what the store has.
[[ "$(jq -sc '.[1:] | map({seq, text})' "$work/got")" == "$(jq -c '.[1:]' <<<"$stored")" ]] ||
  fail "$(cat "$work/got") came instead of $stored"
[[ "$(jq -sc 'map(.seq)' "$work/got")" == '[1,2,3,4,5]' ]] || fail 'lost, doubled or out of order'
if as ada query '{ nonsense }' 2>"$work/refused"; then fail 'nonsense was answered'; fi
grep -q '^GRAPHQL_VALIDATION_FAILED: ' "$work/refused" || fail "$(cat "$work/refused")"

echo 'what Ada has noted' >"$work/note.txt"
attached="$(as ada attach "$chat" "$work/note.txt" text/plain 'See the note')"
[[ "$(jq -r '[.kind, .text, .attachments[0].fileName] | join(" ")' <<<"$attached")" == \
  'FILE See the note note.txt' ]] || fail "the file answers $attached"
file="$(jq -r '.attachments[0].url' <<<"$attached")"
[[ "$file" != /* ]] || file="$CHAT_URL$file"
[[ "$(curl -sS --max-time 10 "$file")" == 'what Ada has noted' ]] || fail "the file is not at $file"
if as ada attach "$chat" "$work/note.txt" image/png no 2>"$work/refused"; then
  fail 'a text was sent as an image'
fi
grep -q BAD_USER_INPUT "$work/refused" || fail "$(cat "$work/refused")"
echo "OK         $sent messages over Server-Sent Events, once and in order"
