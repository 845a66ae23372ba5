#!/bin/sh
# Creates the namespace unless it is there, and waits until the server answers for it; repeating it changes nothing.
set -eu

temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" > /dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"

# The server takes a new namespace up within ten seconds; until then it says that there is none.
attempt=0
until temporal workflow list --namespace "$TEMPORAL_NAMESPACE" --limit 1 > /dev/null 2>&1; do
  attempt=$((attempt + 1))
  [ "$attempt" -lt 30 ] || { echo "namespace $TEMPORAL_NAMESPACE does not answer" >&2; exit 1; }
  sleep 1
done
