#!/bin/bash
# The member is active.
params="${STRATOS_PARAM_FILE_PATH:-/opt/cartridge-agent/payload/launch-params}"
param() { tr ',' '\n' < "$params" | sed -n "s/^$1=//p" | head -n 1; }
base=$(param CATALINA_BASE); base="${base:-/opt/tomcat}"; log="${TOMCAT_HOOK_LOG:-$base/logs/stratos-extensions.log}"
record=$(param RECORD); record="${record:-${RECORD:-$base/logs/record.tsv}}"
mkdir -p "$base/bin" "$base/logs" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

echo "$(date) instance activated" | tee -a "$log" >&2
rec instance-activated STRATOS_CLUSTER_ID STRATOS_LB_CLUSTER_ID STRATOS_LB_IP STRATOS_LB_PUBLIC_IP \
  "tomcat=$(kill -0 "$(cat "$base/tomcat.pid")" 2>/dev/null && echo running || echo dead)"
