#!/bin/bash
# Prepare the folders of the web server.
log="${STRATOS_LOG_DIR:-/var/log/apache2}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

home="${STRATOS_HTTPD_HOME:-/var/lib/httpd}"
mkdir -p "$home" "$STRATOS_APPLICATION_PATH"
echo "$(date) Instance started: $STRATOS_MEMBER_ID ($STRATOS_HOST_NAME)" | tee -a "$log"
rec InstanceStartedEvent STRATOS_EVENT STRATOS_APPLICATION_ID STRATOS_SERVICE_NAME STRATOS_CLUSTER_ID \
  STRATOS_MEMBER_ID STRATOS_HOST_NAME STRATOS_TENANT_ID STRATOS_MULTITENANT STRATOS_PARAM_FILE_PATH \
  STRATOS_TOKEN "args=$#"
