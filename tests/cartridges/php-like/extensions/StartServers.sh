#!/bin/bash
# Write the vhost. As in the stock PHP image the server itself comes up with the artifacts.
log="${STRATOS_LOG_DIR:-/var/log/apache2}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

home="${STRATOS_HTTPD_HOME:-/var/lib/httpd}"
mkdir -p "$home"
cat > "$home/vhost.conf" <<EOF
Listen ${STRATOS_BIND_ADDRESS:-0.0.0.0} ${STRATOS_PORTS%%|*}
ServerName $STRATOS_HOST_NAME
DocumentRoot $STRATOS_APPLICATION_PATH
EOF
echo "AH00558: apache2: Could not reliably determine the server's fully qualified domain name" >&2
echo "$(date) vhost written to $home/vhost.conf" >> "$log"
rec StartServers STRATOS_EVENT STRATOS_PORTS STRATOS_PORT_MAPPINGS STRATOS_HOST_NAME STRATOS_APPLICATION_PATH
