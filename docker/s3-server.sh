#!/bin/sh
# Starts versitygw with the keys of the worker's own credentials file, so that they are kept in one place.
set -eu
value() { sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" /run/secrets/s3_credentials | head -n 1; }
ROOT_ACCESS_KEY_ID="$(value aws_access_key_id)"
ROOT_SECRET_ACCESS_KEY="$(value aws_secret_access_key)"
export ROOT_ACCESS_KEY_ID ROOT_SECRET_ACCESS_KEY
exec versitygw --quiet --port :7070 --region us-east-1 --health /health posix "$S3_DATA"
