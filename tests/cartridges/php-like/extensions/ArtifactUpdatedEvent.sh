#!/bin/bash
# New artifacts: write the database settings next to them and (re)start the server.
log="${STRATOS_LOG_DIR:-/var/log/apache2}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

home="${STRATOS_HTTPD_HOME:-/var/lib/httpd}"; pidfile="$home/httpd.pid"; port="${STRATOS_PORTS%%|*}"
www="$STRATOS_APPLICATION_PATH"; version=$(cat "$www/version.txt" 2>/dev/null)
printf '{"db_host": "%s", "db_user": "%s", "db_password": "%s"}\n' \
  "$STRATOS_MYSQL_IP" "$STRATOS_MYSQL_UNAME" "$STRATOS_MYSQL_PASS" > "$www/config.json"
chmod -R u+rwX,go+rX "$www" 2>>"$log"        # was: chown -R www-data
rec ArtifactUpdatedEvent STRATOS_EVENT STRATOS_APPLICATION_PATH STRATOS_ARTIFACT_UPDATED_CLUSTER_ID \
  STRATOS_ARTIFACT_UPDATED_TENANT_ID STRATOS_ARTIFACT_UPDATED_REPO_URL STRATOS_ARTIFACT_UPDATED_STATUS \
  STRATOS_MYSQL_IP STRATOS_MYSQL_PASS STRATOS_IMPORT_METADATA_KEYS "version=$version"
if [ -f "$pidfile" ]; then
  kill "$(cat "$pidfile")" 2>/dev/null
  for i in $(seq 50); do kill -0 "$(cat "$pidfile")" 2>/dev/null || break; sleep 0.1; done
fi
nohup python3 -m http.server "$port" --bind "${STRATOS_BIND_ADDRESS:-0.0.0.0}" --directory "$www" \
  </dev/null >> "$(dirname "$log")/access.log" 2>&1 &
echo $! > "$pidfile"
for i in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
echo " * Restarting web server apache2 (version $version, port $port)" >&2
