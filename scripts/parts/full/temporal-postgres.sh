#!/usr/bin/env bash
# Builds the Temporal server and its schema tool into the user's cache folder and prints the folder. Does nothing when
# they are there. Only `npm run test:full` uses them (test/support/temporal-postgres.ts; both name the version and
# the folder): the build takes some four minutes. PostgreSQL itself is Debian's package `postgresql`.
set -euo pipefail

version=v1.32.0
folder="${XDG_CACHE_HOME:-$HOME/.cache}/wan-video-temporal/temporal-server-$version"

if [[ ! -x "$folder/server" ]]; then
  command -v go >/dev/null || {
    echo "temporal-postgres.sh: Go 1.26.8 or later is needed to build the Temporal server $version" >&2
    exit 1
  }
  mkdir -p "$folder"
  # Built next to their place and moved there whole: an interrupted build leaves nothing that looks finished.
  build="$(mktemp -d "$folder/build.XXXXXX")"
  trap 'chmod -R u+w "$build"; rm -rf "$build"' EXIT
  GOBIN="$build" nice -n 19 go install "go.temporal.io/server/cmd/server@$version" "go.temporal.io/server/cmd/tools/sql@$version" >&2
  rm -rf "$folder/schema"
  cp -R "$(go mod download -json "go.temporal.io/server@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/schema/postgresql/v12" "$folder/schema"
  chmod -R u+w "$folder/schema"
  mv "$build/sql" "$folder/sql"
  mv "$build/server" "$folder/server"
fi
echo "$folder"
