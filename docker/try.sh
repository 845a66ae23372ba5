#!/bin/sh
# Tries the whole stack with a container engine: builds it, starts it with the emulator, generates a video, removes
# everything.
set -eu
cd "$(dirname "$0")/.."

sh docker/make-secrets.sh
compose() { docker compose --project-name wan-video-try --env-file docker/emulator.env "$@"; }
trap 'compose down --volumes --timeout 60' EXIT

compose up --build --detach --wait worker emulator temporal-ui
# The spool is the one place in the container that can be written to.
compose exec -T worker sh -c 'cat > "$TMPDIR/sample.jpg" && node dist/src/cli/main.js generate \
  --prompt "a boat drifts over a calm lake" --image "$TMPDIR/sample.jpg" --duration 2 --json' < assets/sample.jpg
