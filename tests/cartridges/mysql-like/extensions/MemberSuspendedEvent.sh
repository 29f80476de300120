#!/bin/bash
# Another member is suspended: bring the replication peers up to date if a list came along.
home="${STRATOS_MYSQL_HOME:-/var/lib/mysql-cartridge}"; log="${STRATOS_LOG_DIR:-/var/log/mysql}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$home/bin" "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

peers=$(python3 "$home/bin/write-peers.py" "$home/replication.cnf" 2>>"$log")
echo "$(date) MemberSuspendedEvent: $peers" >> "$log"
rec MemberSuspendedEvent STRATOS_EVENT STRATOS_CLUSTER_ID STRATOS_MEMBER_ID "$peers"
