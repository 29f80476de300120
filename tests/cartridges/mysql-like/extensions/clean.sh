#!/bin/bash
# The member is going down: stop the server by its pid file.
home="${STRATOS_MYSQL_HOME:-/var/lib/mysql-cartridge}"; log="${STRATOS_LOG_DIR:-/var/log/mysql}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$home/bin" "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

pidfile="$home/mysqld.pid"; stopped=no
if [ -f "$pidfile" ]; then
  kill "$(cat "$pidfile")" 2>/dev/null && stopped=yes
  for i in $(seq 50); do kill -0 "$(cat "$pidfile")" 2>/dev/null || break; sleep 0.1; done
  rm -f "$pidfile"
fi
rec clean STRATOS_EVENT STRATOS_MEMBER_ID STRATOS_CLUSTER_INSTANCE_ID "stopped=$stopped"
