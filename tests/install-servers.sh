#!/usr/bin/env bash
# Installs the servers that the tests start for themselves, where they are missing: RabbitMQ,
# Redis, a mail server in Python and, without a mongod, what its stand-in is built with; and what the
# examples of clients need, a browser among it. From the packages of Debian or Ubuntu. Besides, from
# those of Python, a store that speaks the protocol of S3. None is left running.
set -euo pipefail

# A store that speaks the protocol of S3, in an environment of its own.
install_s3() {
  local s3
  s3="$(dirname "${BASH_SOURCE[0]}")/s3"
  [ -x "$s3/.venv/bin/moto_server" ] && return
  python3 -m venv "$s3/.venv"
  "$s3/.venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
    --requirement "$s3/requirements.txt"
}

missing=()
[ -e /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
command -v redis-server >/dev/null || missing+=(redis-server)
if ! command -v mongod >/dev/null; then
  command -v javac >/dev/null || missing+=(default-jdk-headless)
  command -v mvn >/dev/null || missing+=(maven)
fi
/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || python3 -c 'import aiosmtpd' 2>/dev/null ||
  missing+=(python3-aiosmtpd)
command -v kill >/dev/null || missing+=(procps)
command -v curl >/dev/null || missing+=(curl)
command -v jq >/dev/null || missing+=(jq)
[ -n "${CHAT_BROWSER:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null || missing+=(chromium)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -eq 0 ]; then
  install_s3
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "Install these yourself, then try again: ${missing[*]}" >&2
  exit 1
fi
root=()
[ "$(id -u)" -eq 0 ] || root=(sudo)
echo "Installing for the tests: ${missing[*]}"
# Packages start their services; a policy of our own forbids it while we install.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
  "${root[@]}" chmod 755 "$policy"
  trap '"${root[@]}" rm -f "$policy"' EXIT
fi
"${root[@]}" apt-get update -q
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}"
install_s3
