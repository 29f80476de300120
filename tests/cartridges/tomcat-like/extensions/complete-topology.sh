#!/bin/bash
# Topology snapshot: keep it for the other scripts.
params="${STRATOS_PARAM_FILE_PATH:-/opt/cartridge-agent/payload/launch-params}"
param() { tr ',' '\n' < "$params" | sed -n "s/^$1=//p" | head -n 1; }
base=$(param CATALINA_BASE); base="${base:-/opt/tomcat}"; log="${TOMCAT_HOOK_LOG:-$base/logs/stratos-extensions.log}"
record=$(param RECORD); record="${record:-${RECORD:-$base/logs/record.tsv}}"
mkdir -p "$base/bin" "$base/logs" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

printf '%s\n' "$STRATOS_TOPOLOGY_JSON" > "$base/topology.json"
own=$(python3 -c '
import json, os, sys
t = json.load(open(sys.argv[1])); t = t.get("topology", t)
c = t["serviceMap"][os.environ["STRATOS_SERVICE_NAME"]]["clusterIdClusterMap"][os.environ["STRATOS_CLUSTER_ID"]]
print("members=%d" % len(c["memberMap"]))' "$base/topology.json" 2>>"$log")
rec complete-topology STRATOS_SERVICE_NAME STRATOS_CLUSTER_ID "${own:-members=unknown}"
