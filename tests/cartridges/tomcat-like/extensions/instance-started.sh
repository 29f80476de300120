#!/bin/bash
# Lay out CATALINA_BASE: a small server which loads the web application once, when it starts.
params="${STRATOS_PARAM_FILE_PATH:-/opt/cartridge-agent/payload/launch-params}"
param() { tr ',' '\n' < "$params" | sed -n "s/^$1=//p" | head -n 1; }
base=$(param CATALINA_BASE); base="${base:-/opt/tomcat}"; log="${TOMCAT_HOOK_LOG:-$base/logs/stratos-extensions.log}"
record=$(param RECORD); record="${record:-${RECORD:-$base/logs/record.tsv}}"
mkdir -p "$base/bin" "$base/logs" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

cat > "$base/bin/catalina.py" <<'EOF'
import http.server, os, sys
host, port, root = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pages = {}
for d, dirs, files in os.walk(root):
    dirs[:] = [x for x in dirs if x not in (".git", "WEB-INF")]
    for f in files:
        p = os.path.join(d, f)
        pages["/" + os.path.relpath(p, root)] = open(p, "rb").read()
pages["/"] = pages.get("/index.html")
pages["/java-opts"] = os.environ.get("JAVA_OPTS", "").encode()
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = pages.get(self.path.split("?")[0])
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(body or b"not found\n")
http.server.ThreadingHTTPServer((host, port), H).serve_forever()
EOF
rec instance-started STRATOS_SERVICE_NAME STRATOS_CLUSTER_ID STRATOS_TENANT_ID STRATOS_CARTRIDGE_KEY \
  STRATOS_NETWORK_PARTITION_ID STRATOS_PARTITION_ID STRATOS_APP_PATH STRATOS_PARAM_FILE_PATH "args=$#"
