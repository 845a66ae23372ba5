#!/bin/sh
# Creates Temporal's two databases and brings their schema up to this release; repeating it changes nothing.
set -eu

# The tool reads SQL_HOST, SQL_USER and SQL_PLUGIN by itself. A password on its command line would show in the process
# list.
SQL_PASSWORD="$(cat /run/secrets/postgres_password)"
export SQL_PASSWORD

bring_up() {
  export SQL_DATABASE="$1"
  temporal-sql-tool create-database
  # Begins the record of versions; a database that is further keeps its own.
  temporal-sql-tool setup-schema --version 0.0
  temporal-sql-tool update-schema --schema-dir "$TEMPORAL_SCHEMA/$2/versioned"
}

bring_up temporal temporal
bring_up temporal_visibility visibility
