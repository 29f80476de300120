#!/bin/bash
# The member is active: note the balancer in front of us.
log="${STRATOS_LOG_DIR:-/var/log/apache2}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

echo "$(date) Instance activated, balancer ${STRATOS_LB_IP:-none}" >> "$log"
rec InstanceActivatedEvent STRATOS_EVENT STRATOS_MEMBER_ID STRATOS_LB_CLUSTER_ID STRATOS_LB_IP \
  STRATOS_LB_PUBLIC_IP STRATOS_NETWORK_PARTITION_ID STRATOS_PARTITION_ID
