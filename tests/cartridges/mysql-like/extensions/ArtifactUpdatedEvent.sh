#!/bin/bash
# The repository holds the schema: load it (copy it into the data folder, in order).
home="${STRATOS_MYSQL_HOME:-/var/lib/mysql-cartridge}"; log="${STRATOS_LOG_DIR:-/var/log/mysql}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$home/bin" "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

data="${STRATOS_MYSQL_DATA:-$home/data}"; mkdir -p "$data"; n=0
rm -f "$data"/*.sql
for s in "$STRATOS_APPLICATION_PATH"/schema/*.sql; do
  [ -f "$s" ] && cp "$s" "$data/" && n=$((n + 1))
done
echo "mysql: [Warning] Using a password on the command line interface can be insecure." >&2
rec ArtifactUpdatedEvent STRATOS_EVENT STRATOS_APPLICATION_PATH STRATOS_ARTIFACT_UPDATED_CLUSTER_ID \
  STRATOS_ARTIFACT_UPDATED_TENANT_ID STRATOS_ARTIFACT_UPDATED_REPO_URL STRATOS_ARTIFACT_UPDATED_REPO_USERNAME \
  STRATOS_ARTIFACT_UPDATED_REPO_PASSWORD STRATOS_ARTIFACT_UPDATED_STATUS "schema_files=$n"
