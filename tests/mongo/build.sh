#!/bin/sh
# Builds the MongoDB-protocol server of the tests, unless it is built, and prints its folder. The
# folder is named by what it was built from, lies in the cache and never in the sources. Several
# builds at the same time do not meet.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${TALKSY_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/talksy}/mongo
sources="$here/pom.xml $here/src/main/java/talksy/TestMongo.java"
# shellcheck disable=SC2086 # a list of files
version=$(cat $sources | cksum | tr ' ' '-')
built=$cache/$version

if [ ! -f "$built/test-mongo.jar" ]; then
    for program in java mvn; do
        if ! command -v "$program" >/dev/null; then
            echo "$program is missing: install a JDK 17 or newer and Maven" >&2
            exit 1
        fi
    done
    mkdir -p "$cache"
    fresh=$(mktemp -d "$cache/build.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    mvn -q -B -f "$here/pom.xml" "-Dtalksy.build=$fresh" package >&2
    # Where another build was faster, its result stays.
    [ -d "$built" ] || mv "$fresh" "$built"
fi
echo "$built"
