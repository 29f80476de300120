#!/bin/bash
# First tenant snapshot.
log="${STRATOS_LOG_DIR:-/var/log/apache2}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

n=$(python3 -c 'import json,os; l=json.loads(os.environ.get("STRATOS_TENANT_LIST_JSON") or "[]")
l = l.get("tenants", l) if isinstance(l, dict) else l
print("tenants=%d" % len(l))')
echo "$(date) complete tenant event, $n" >> "$log"
rec CompleteTenantEvent STRATOS_EVENT STRATOS_TENANT_ID "$n"
