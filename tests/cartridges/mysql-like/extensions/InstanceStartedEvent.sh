#!/bin/bash
# Write my.cnf with the root password of the payload, and the server itself.
home="${STRATOS_MYSQL_HOME:-/var/lib/mysql-cartridge}"; log="${STRATOS_LOG_DIR:-/var/log/mysql}/stratos-extensions.log"
record="${STRATOS_RECORD:-${RECORD:-$(dirname "$log")/record.tsv}}"
mkdir -p "$home/bin" "$(dirname "$log")" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

umask 077
printf '[mysqld]\nserver_id=%s\nport=%s\n[client]\npassword=%s\n' "$(printf %s "$STRATOS_MEMBER_ID" | cksum | cut -d' ' -f1)" \
  "${STRATOS_PORTS%%|*}" "$STRATOS_MYSQL_ROOT_PASSWORD" > "$home/my.cnf"
cat > "$home/bin/mysqld.py" <<'EOF'
import os, socketserver, sys
home, host, port, data = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
def lines(name):
    return open(os.path.join(home, name)).read().split("\n") if os.path.exists(os.path.join(home, name)) else []
class H(socketserver.BaseRequestHandler):
    def handle(self):
        sid = [l for l in lines("my.cnf") if l.startswith("server_id=")]
        peers = [l.split()[-1] for l in lines("replication.cnf") if l.startswith("peer=")]
        sql = sorted(f for f in os.listdir(data) if f.endswith(".sql")) if os.path.isdir(data) else []
        self.request.sendall(("5.5.62-cartridge %s peers=%s schema=%s\n" % (sid[0], ",".join(peers), ",".join(sql))).encode())
class S(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    def handle_error(self, request, client_address): pass   # a port check hangs up at once
S((host, port), H).serve_forever()
EOF
rec InstanceStartedEvent STRATOS_EVENT STRATOS_APPLICATION_ID STRATOS_SERVICE_NAME STRATOS_CLUSTER_ID STRATOS_MEMBER_ID \
  STRATOS_CLUSTER_INSTANCE_ID STRATOS_CLUSTERING STRATOS_PRIMARY STRATOS_MYSQL_ROOT_PASSWORD STRATOS_PARAM_FILE_PATH "args=$#"
