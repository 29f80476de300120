#!/bin/bash
# A tenant mapped an own domain: one more Host alias.
params="${STRATOS_PARAM_FILE_PATH:-/opt/cartridge-agent/payload/launch-params}"
param() { tr ',' '\n' < "$params" | sed -n "s/^$1=//p" | head -n 1; }
base=$(param CATALINA_BASE); base="${base:-/opt/tomcat}"; log="${TOMCAT_HOOK_LOG:-$base/logs/stratos-extensions.log}"
record=$(param RECORD); record="${record:-${RECORD:-$base/logs/record.tsv}}"
mkdir -p "$base/bin" "$base/logs" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

mkdir -p "$base/conf"
echo "<Alias>$STRATOS_SUBSCRIPTION_DOMAIN_NAME</Alias>" >> "$base/conf/aliases.xml"
rec domain-mapping-added STRATOS_SUBSCRIPTION_APPLICATION_ID STRATOS_SUBSCRIPTION_SERVICE_NAME \
  STRATOS_SUBSCRIPTION_DOMAIN_NAME STRATOS_SUBSCRIPTION_CLUSTER_ID STRATOS_SUBSCRIPTION_TENANT_ID \
  STRATOS_SUBSCRIPTION_TENANT_DOMAIN STRATOS_SUBSCRIPTION_CONTEXT_PATH
