#!/usr/bin/env bash
# A chat with curl and jq.
#
#     talksy.sh login EMAIL              mails a code, and prints the challenge
#     talksy.sh verify CHALLENGE CODE    signs in, and prints the user's id
#     talksy.sh query GRAPHQL [JSON]     prints the data of a query or mutation
#     talksy.sh start-chat USER_ID       prints the chat's id
#     talksy.sh send CHAT_ID TEXT        prints the message
#     talksy.sh attach CHAT_ID FILE TYPE TEXT
#                                        sends a file of a media type, and prints the message
#     talksy.sh edit MESSAGE_ID TEXT     prints the message
#     talksy.sh follow CHAT_ID CURSOR    prints each message behind the cursor, once and in order
#     talksy.sh refresh                  renews the tokens
#
# $CHAT_URL is the server, $CHAT_SESSION the file that keeps the tokens.
set -euo pipefail

url="${CHAT_URL:-http://127.0.0.1:4000}"
session="${CHAT_SESSION:-$HOME/.talksy-session.json}"

MESSAGE_ADDED='subscription MessageAdded($chatId: ID!, $after: String) {
  messageAdded(chatId: $chatId, after: $after) { cursor node { id seq changeSeq text } }
}'

token() { jq -r .accessToken "$session"; }

# The body of a request.
body() { jq -cn --arg query "$1" --argjson variables "${2:-null}" '$ARGS.named'; }

# The code of an answer's first error, if any.
code() { jq -r '.errors[0].extensions.code // empty' <<<"$1"; }

# Prints the answer to an operation. Further arguments are curl's. Fails where none came: a proxy whose server
# is away answers with a page of its own.
post() {
  local answer
  answer="$(curl -sS --max-time 10 "$url/graphql" -H 'content-type: application/json' \
    -H 'accept: application/graphql-response+json' --data "$(body "$1" "$2")" "${@:3}")" &&
    jq -ce 'select(has("data") or has("errors"))' <<<"$answer"
}

# Prints an answer's data; fails with what it refuses.
data() {
  if [[ -n "$(code "$1")" ]]; then
    jq -r '.errors[0] | "\(.extensions.code): \(.message)"' <<<"$1" >&2
    return 1
  fi
  jq -c .data <<<"$1"
}

# Keeps the tokens of an answer, for this user alone, in a file that is replaced as a whole. Without an answer
# those of before stay.
keep() {
  (umask 077 && jq -ce . >"$session.new") && mv "$session.new" "$session"
}

# Exchanges the refresh token. It is good for one use, and a second use ends the session: so one at a
# time, and who has waited finds that it is done.
refresh() {
  local old="$1" answer status=0
  exec 9>"$session.lock"
  flock 9
  if [[ "$(token)" == "$old" ]]; then
    # Where no answer came, the tokens of before are still good.
    answer="$(post 'mutation RefreshSession($refreshToken: String!) {
      refreshSession(input: { refreshToken: $refreshToken }) { accessToken refreshToken } }' \
      "$(jq -c '{refreshToken}' "$session")")" &&
      answer="$(data "$answer")" && jq -c .refreshSession <<<"$answer" | keep || status=1
  fi
  exec 9>&-
  return "$status"
}

# Prints the data of an operation. A network that is away and a backend that is down are waited for:
# all here is safe to repeat.
query() {
  local tries token answer
  for tries in 1 2 3 4 5 6 7 8 9 10; do
    token="$(token)"
    if answer="$(post "$1" "${2:-null}" -H "authorization: Bearer $token" 2>/dev/null)"; then
      case "$(code "$answer")" in
        TOKEN_EXPIRED) refresh "$token" && continue ;;
        UNAVAILABLE | RATE_LIMITED) ;;
        *)
          data "$answer"
          return
          ;;
      esac
    fi
    sleep "$((tries < 4 ? 1 : 5))"
  done
  echo "$url does not answer" >&2
  return 1
}

# Uploads a file of a media type, and prints the attachment's id.
upload() {
  local announced to
  announced="$(query 'mutation CreateUpload($input: CreateUploadInput!) {
    createUpload(input: $input) { url attachmentId } }' \
    "$(jq -cn --arg name "${1##*/}" --arg type "$2" --argjson size "$(wc -c <"$1")" \
      '{input: {fileName: $name, contentType: $type, byteSize: $size}}')")" || return
  to="$(jq -r .createUpload.url <<<"$announced")"
  # A path where the server does not know its own address.
  [[ "$to" != /* ]] || to="$url$to"
  curl -sS --fail-with-body --upload-file "$1" "$to" >&2 || return
  jq -r .createUpload.attachmentId <<<"$announced"
}

# Each message of a chat behind a cursor, over Server-Sent Events, across any number of connections.
follow() {
  local chat="$1" after="$2" line answer token
  while true; do
    token="$(token)"
    while IFS= read -r line; do
      [[ "$line" == data:* ]] || continue
      answer="${line#data:}"
      [[ -n "${answer// /}" ]] || continue
      case "$(code "$answer")" in
        '') ;;
        TOKEN_EXPIRED) refresh "$token" && break ;;
        UNAVAILABLE | RATE_LIMITED | SLOW_CONSUMER) break ;;
        *) data "$answer" || return ;;
      esac
      jq -c .data.messageAdded.node <<<"$answer"
      # The next connection goes on behind it.
      after="$(jq -r .data.messageAdded.cursor <<<"$answer")"
    done < <(curl -sS -N "$url/graphql" -H 'content-type: application/json' \
      -H 'accept: text/event-stream' -H "authorization: Bearer $token" \
      --data "$(body "$MESSAGE_ADDED" "$(jq -cn --arg chatId "$chat" --arg after "$after" '$ARGS.named')")" \
      2>/dev/null)
    sleep 1
  done
}

case "${1:-}" in
  login)
    data "$(post 'mutation Login($email: String!) { login(input: { email: $email }) { challenge } }' \
      "$(jq -cn --arg email "$2" '$ARGS.named')")" | jq -r .login.challenge
    ;;
  verify)
    data "$(post 'mutation VerifyOtp($challenge: String!, $code: String!) {
      verifyOtp(input: { challenge: $challenge, code: $code }) { accessToken refreshToken user { id } } }' \
      "$(jq -cn --arg challenge "$2" --arg code "$3" '$ARGS.named')")" | jq -c .verifyOtp | keep
    jq -r .user.id "$session"
    ;;
  query) query "$2" "${3:-null}" ;;
  start-chat)
    query 'mutation StartChat($userId: ID!) { startChat(input: { userId: $userId }) { chat { id } } }' \
      "$(jq -cn --arg userId "$2" '$ARGS.named')" | jq -r .startChat.chat.id
    ;;
  send)
    # One id for the message, not for the try: a retry gets the first message, not a second one.
    id="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
    query 'mutation SendMessage($chatId: ID!, $text: String!, $clientMessageId: String!) {
      sendMessage(input: { chatId: $chatId, text: $text, clientMessageId: $clientMessageId }) {
        message { id seq text } } }' \
      "$(jq -cn --arg chatId "$2" --arg text "$3" --arg clientMessageId "$id" '$ARGS.named')" |
      jq -c .sendMessage.message
    ;;
  attach)
    id="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
    attachment="$(upload "$3" "$4")"
    query 'mutation SendAttachment($input: SendMessageInput!) {
      sendMessage(input: $input) { message { id seq kind text attachments { fileName url } } } }' \
      "$(jq -cn --arg chatId "$2" --arg attachment "$attachment" --arg text "$5" --arg id "$id" \
        '{input: {$chatId, $text, attachmentIds: [$attachment], clientMessageId: $id}}')" |
      jq -c .sendMessage.message
    ;;
  edit)
    query 'mutation EditMessage($messageId: ID!, $text: String!) {
      editMessage(input: { messageId: $messageId, text: $text }) { message { id changeSeq text } } }' \
      "$(jq -cn --arg messageId "$2" --arg text "$3" '$ARGS.named')" | jq -c .editMessage.message
    ;;
  follow) follow "$2" "$3" ;;
  refresh) refresh "$(token)" ;;
  *)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
