#!/bin/sh
# Makes the secrets that docker-compose.yml reads from files; what is there is kept. DASHSCOPE_API_KEY, when set,
# becomes the provider's key; otherwise write it into docker/secrets/dashscope-api-key yourself.
set -eu
cd "$(dirname "$0")/secrets"

# The folder shuts out other people of this machine; the files stay readable, because each container reads them as a
# user of its own.
chmod 700 .
umask 022

random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

[ -e postgres-password ] || random 24 > postgres-password
[ -e s3-credentials ] || printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$(random 10)" "$(random 20)" > s3-credentials
if [ -n "${DASHSCOPE_API_KEY:-}" ]; then
  printf '%s\n' "$DASHSCOPE_API_KEY" > dashscope-api-key
elif [ ! -e dashscope-api-key ]; then
  : > dashscope-api-key
  echo 'docker/secrets/dashscope-api-key is empty: write the provider key into it, or use --env-file docker/emulator.env' >&2
fi
