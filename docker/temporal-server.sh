#!/bin/sh
# Temporal's own entry point reads the database password from the environment only; here it comes from a file.
set -eu
POSTGRES_PWD="$(cat /run/secrets/postgres_password)"
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh
