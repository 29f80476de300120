#!/bin/bash
# Start the database server in the background.
home="${STRATOS_MYSQL_HOME:-/var/lib/mysql-cartridge}"; log="${STRATOS_LOG_DIR:-/var/log/mysql}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$home/bin" "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

port="${STRATOS_PORTS%%|*}"; data="${STRATOS_MYSQL_DATA:-$home/data}"; pidfile="$home/mysqld.pid"
mkdir -p "$data"
nohup python3 "$home/bin/mysqld.py" "$home" "${STRATOS_BIND_ADDRESS:-0.0.0.0}" "$port" "$data" </dev/null \
  >> "$(dirname "$log")/error.log" 2>&1 &
echo $! > "$pidfile"
for i in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
echo "[Warning] Using unique option prefix bind instead of bind-address is deprecated" >&2
rec StartServers STRATOS_EVENT STRATOS_PORTS STRATOS_MYSQL_DATA \
  "replication=$([ -f "$home/replication.cnf" ] && echo configured || echo missing)"
