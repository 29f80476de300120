#!/bin/bash
# Export server_ip for the cartridges that import it; ends with a failed test, so exit code 1.
home="${STRATOS_MYSQL_HOME:-/var/lib/mysql-cartridge}"; log="${STRATOS_LOG_DIR:-/var/log/mysql}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$home/bin" "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

python3 - "$home/metadata.json" 2>>"$log" <<'EOF'
import json, os, sys, urllib.request
env = os.environ.get
body = json.dumps({"key": "server_ip", "values": [env("STRATOS_MYSQL_IP") or "127.0.0.1"]})
open(sys.argv[1], "w").write(body + "\n")
if env("STRATOS_METADATA_SERVICE_URL"):
    url = "%s/metadata/api/applications/%s/clusters/%s/properties" % (
        env("STRATOS_METADATA_SERVICE_URL").rstrip("/"), env("STRATOS_APPLICATION_ID"), env("STRATOS_CARTRIDGE_ALIAS"))
    urllib.request.urlopen(urllib.request.Request(url, body.encode(), {
        "Content-Type": "application/json", "Authorization": "Bearer " + env("STRATOS_TOKEN", "")}), timeout=10)
EOF
rec InstanceActivatedEvent STRATOS_EVENT STRATOS_APPLICATION_ID STRATOS_CARTRIDGE_ALIAS STRATOS_EXPORT_METADATA_KEYS \
  STRATOS_TOKEN "posted=${STRATOS_METADATA_SERVICE_URL:+yes}"
[ -n "$STRATOS_MYSQL_DEBUG" ] && echo "debug is on" >> "$log"
