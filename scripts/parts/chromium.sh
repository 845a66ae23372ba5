#!/usr/bin/env bash
# Makes sure that there is a Chromium for the tests of the Web UI (test/ui) and prints its path: CHROMIUM_PATH, else
# `chromium` on PATH, else Debian's package, for which it must run as root.
set -euo pipefail

binary="${CHROMIUM_PATH:-$(command -v chromium || true)}"
if [[ -z "$binary" ]]; then
  if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
    echo "chromium.sh: install Chromium (Debian: apt-get install chromium), or name a binary in CHROMIUM_PATH" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -o Acquire::Retries=3 update -qq >&2
  apt-get -o Acquire::Retries=3 install -y -qq --no-install-recommends chromium >/dev/null
  binary="$(command -v chromium)"
fi
"$binary" --version >&2
echo "$binary"
