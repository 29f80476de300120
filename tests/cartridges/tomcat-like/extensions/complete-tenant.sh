#!/bin/bash
# Tenant snapshot: tenant id and domain, one per line.
params="${STRATOS_PARAM_FILE_PATH:-/opt/cartridge-agent/payload/launch-params}"
param() { tr ',' '\n' < "$params" | sed -n "s/^$1=//p" | head -n 1; }
base=$(param CATALINA_BASE); base="${base:-/opt/tomcat}"; log="${TOMCAT_HOOK_LOG:-$base/logs/stratos-extensions.log}"
record=$(param RECORD); record="${record:-${RECORD:-$base/logs/record.tsv}}"
mkdir -p "$base/bin" "$base/logs" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

python3 - > "$base/tenants.txt" 2>>"$log" <<'EOF'
import json, os
l = json.loads(os.environ["STRATOS_TENANT_LIST_JSON"])
l = l.get("tenants", l) if isinstance(l, dict) else l
for t in (l.values() if isinstance(l, dict) else l):
    print(t["tenantId"], t["tenantDomain"])
EOF
rec complete-tenant STRATOS_TENANT_ID "tenants=$(wc -l < "$base/tenants.txt")"
