#!/bin/bash
# First topology snapshot: look whether the database cluster we depend on is known.
log="${STRATOS_LOG_DIR:-/var/log/apache2}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

dep=$(python3 - <<'EOF'
import json, os
t = json.loads(os.environ.get("STRATOS_TOPOLOGY_JSON") or "{}")
t = t.get("topology", t)
want = os.environ.get("STRATOS_DEPENDENCY_CLUSTER_IDS", "")
own = os.environ.get("STRATOS_CLUSTER_ID", "")
ids = [c for s in t.get("serviceMap", {}).values() for c in s.get("clusterIdClusterMap", {})]
print("services=%d" % len(t.get("serviceMap", {})), "own_cluster_seen=%s" % (own in ids),
      "dependency_seen=%s" % (want in ids), sep="\t")
EOF
)
echo "$(date) topology received: $dep" >> "$log"
rec CompleteTopologyEvent STRATOS_EVENT STRATOS_CLUSTER_ID STRATOS_DEPENDENCY_CLUSTER_IDS "$dep"
