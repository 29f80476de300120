#!/bin/bash
# Mount the persistent volumes: triples device|volumeId|mountPath (here: only the mount points are made).
home="${STRATOS_MYSQL_HOME:-/var/lib/mysql-cartridge}"; log="${STRATOS_LOG_DIR:-/var/log/mysql}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$home/bin" "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

mapping="${1:-$STRATOS_VALUE1}"; mapping="${mapping:-$STRATOS_PERSISTENCE_MAPPINGS}"
IFS='|' read -r -a f <<< "$mapping"; mounts=""
for ((i = 0; i + 2 < ${#f[@]}; i += 3)); do
  mkdir -p "${f[i+2]}" && mounts="$mounts${mounts:+,}${f[i]}:${f[i+1]}:${f[i+2]}"
  echo "mount: ${f[i]} on ${f[i+2]} (volume ${f[i+1]}), not done here" >&2
done
rec VolumeMount STRATOS_EVENT STRATOS_VALUE1 STRATOS_PERSISTENCE_MAPPINGS STRATOS_PERSISTENCE_MAPPING "args=$#" \
  "mounts=$mounts" "server=$([ -f "$home/mysqld.pid" ] && echo started || echo not-started)"
