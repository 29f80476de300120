#!/bin/bash
# First snapshot: write replication.cnf from the member list of our own cluster.
home="${STRATOS_MYSQL_HOME:-/var/lib/mysql-cartridge}"; log="${STRATOS_LOG_DIR:-/var/log/mysql}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$home/bin" "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

cat > "$home/bin/write-peers.py" <<'EOF'
import json, os, sys
env, cnf, source = os.environ.get, sys.argv[1], "kept"
cid, members = env("STRATOS_CLUSTER_ID"), None
if env("STRATOS_MEMBER_LIST_JSON"):
    members = json.loads(env("STRATOS_MEMBER_LIST_JSON"))
    source = "member-list-" + ("map" if isinstance(members, dict) else "array")
elif env("STRATOS_TOPOLOGY_JSON"):
    t, source = json.loads(env("STRATOS_TOPOLOGY_JSON")), "topology"
    members = t.get("topology", t)["serviceMap"][env("STRATOS_SERVICE_NAME")]["clusterIdClusterMap"][cid]["memberMap"]
if members is not None:
    members = members.values() if isinstance(members, dict) else members
    with open(cnf + ".new", "w") as f:
        for m in sorted(members, key=lambda m: m["memberId"]):
            if m["memberId"] != env("STRATOS_MEMBER_ID") and m.get("clusterId", cid) == cid:
                ip = m.get("defaultPrivateIP") or (m.get("memberPrivateIPs") or ["?"])[0]
                f.write("peer=%s %s\n" % (m["memberId"], ip))
    os.replace(cnf + ".new", cnf)
peers = [l.split("=", 1)[1].split() for l in open(cnf)] if os.path.exists(cnf) else []
print("peers=" + (",".join("%s@%s" % tuple(p) for p in peers) or "none") + "\tsource=" + source)
EOF
rec CompleteTopologyEvent STRATOS_EVENT STRATOS_SERVICE_NAME STRATOS_CLUSTER_ID STRATOS_MEMBER_ID \
  "$(python3 "$home/bin/write-peers.py" "$home/replication.cnf" 2>>"$log")"
