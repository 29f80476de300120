#!/bin/bash
# A tenant mapped an own domain: add a ServerAlias.
log="${STRATOS_LOG_DIR:-/var/log/apache2}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

home="${STRATOS_HTTPD_HOME:-/var/lib/httpd}"
echo "ServerAlias $STRATOS_SUBSCRIPTION_DOMAIN_NAME $STRATOS_SUBSCRIPTION_CONTEXT_PATH" >> "$home/aliases.conf"
rec DomainMappingAddedEvent STRATOS_EVENT STRATOS_SUBSCRIPTION_APPLICATION_ID STRATOS_SUBSCRIPTION_SERVICE_NAME \
  STRATOS_SUBSCRIPTION_DOMAIN_NAME STRATOS_SUBSCRIPTION_CLUSTER_ID STRATOS_SUBSCRIPTION_TENANT_ID \
  STRATOS_SUBSCRIPTION_CONTEXT_PATH
