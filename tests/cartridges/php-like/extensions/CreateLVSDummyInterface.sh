#!/bin/bash
# LVS real server: the virtual IP on a dummy interface (here only noted, no ifconfig).
log="${STRATOS_LOG_DIR:-/var/log/apache2}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

echo "$(date) LVS virtual ip $STRATOS_LVS_DUMMY_VIRTUAL_IP mask $STRATOS_LVS_SUBNET_MASK" >> "$log"
rec CreateLVSDummyInterface STRATOS_EVENT STRATOS_LVS_DUMMY_VIRTUAL_IP STRATOS_LVS_SUBNET_MASK
