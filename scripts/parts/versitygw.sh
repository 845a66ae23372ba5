#!/usr/bin/env bash
# Installs the S3 server of the store's tests into the user's cache folder and prints its path. Does nothing when it is
# there. The tests find it by themselves (test/support/s3-server.ts); both name the version and the folder.
set -euo pipefail

version=v1.8.0
folder="${XDG_CACHE_HOME:-$HOME/.cache}/wan-video-temporal/versitygw-$version"
binary="$folder/versitygw"

if [[ ! -x "$binary" ]]; then
  command -v go >/dev/null || {
    echo "versitygw.sh: Go 1.25 or later is needed to build versitygw $version; or name a binary in VERSITYGW" >&2
    exit 1
  }
  mkdir -p "$folder"
  # Built next to its place and moved there whole: an interrupted build leaves nothing that looks finished.
  build="$(mktemp -d "$folder/build.XXXXXX")"
  trap 'rm -rf "$build"' EXIT
  GOBIN="$build" go install "github.com/versity/versitygw/cmd/versitygw@$version" >&2
  mv "$build/versitygw" "$binary"
fi
echo "$binary"
