#!/bin/bash
# Start Tomcat in the background (the web application may still be missing).
params="${STRATOS_PARAM_FILE_PATH:-/opt/cartridge-agent/payload/launch-params}"
param() { tr ',' '\n' < "$params" | sed -n "s/^$1=//p" | head -n 1; }
base=$(param CATALINA_BASE); base="${base:-/opt/tomcat}"; log="${TOMCAT_HOOK_LOG:-$base/logs/stratos-extensions.log}"
record=$(param RECORD); record="${record:-${RECORD:-$base/logs/record.tsv}}"
mkdir -p "$base/bin" "$base/logs" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

port=$(param PORT_MAPPINGS | tr ';' '\n' | grep 'NAME:tomcat-http' | tr '|' '\n' | sed -n 's/^PORT://p')
bind=$(param BIND_ADDRESS); mkdir -p "$STRATOS_APP_PATH"
cat > "$base/bin/catalina.sh" <<EOF
#!/bin/bash
pid="$base/tomcat.pid"
if [ "\$1" = stop ]; then
  kill "\$(cat "\$pid")" 2>/dev/null
  for i in \$(seq 50); do kill -0 "\$(cat "\$pid")" 2>/dev/null || break; sleep 0.1; done; rm -f "\$pid"; exit 0
fi
echo "Using CATALINA_BASE:   $base" >&2
export JAVA_OPTS='$(param JAVA_OPTS)'
nohup python3 "$base/bin/catalina.py" "${bind:-0.0.0.0}" $port "$STRATOS_APP_PATH" </dev/null >> "$base/logs/catalina.out" 2>&1 &
echo \$! > "\$pid"
for i in \$(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
EOF
chmod +x "$base/bin/catalina.sh"
rec start-servers STRATOS_APP_PATH STRATOS_PARAM_FILE_PATH "port=$port" "java_opts=$(param JAVA_OPTS)"
"$base/bin/catalina.sh" start
echo "Tomcat started." >&2
