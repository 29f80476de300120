#!/bin/bash
# New artifacts (message or polling pull): Tomcat has to be restarted to see them.
params="${STRATOS_PARAM_FILE_PATH:-/opt/cartridge-agent/payload/launch-params}"
param() { tr ',' '\n' < "$params" | sed -n "s/^$1=//p" | head -n 1; }
base=$(param CATALINA_BASE); base="${base:-/opt/tomcat}"; log="${TOMCAT_HOOK_LOG:-$base/logs/stratos-extensions.log}"
record=$(param RECORD); record="${record:-${RECORD:-$base/logs/record.tsv}}"
mkdir -p "$base/bin" "$base/logs" "$(dirname "$record")"
rec() { local l="$1" v; shift; for v in "$@"; do
  case "$v" in *=*|'') l+=$'\t'"$v";; *) l+=$'\t'"$v=${!v-<unset>}";; esac; done
  printf '%s\n' "$l" >> "$record"; }

version=$(sed -n 's/^version=//p' "$STRATOS_APP_PATH/WEB-INF/classes/app.properties" 2>/dev/null)
rec artifacts-updated STRATOS_APP_PATH STRATOS_REPO_URL STRATOS_ARTIFACT_UPDATED_CLUSTER_ID \
  STRATOS_ARTIFACT_UPDATED_TENANT_ID STRATOS_ARTIFACT_UPDATED_REPO_URL STRATOS_ARTIFACT_UPDATED_REPO_USERNAME \
  STRATOS_ARTIFACT_UPDATED_STATUS STRATOS_ARTIFACT_UPDATED_SCHEDULER "version=$version"
"$base/bin/catalina.sh" stop
"$base/bin/catalina.sh" start
echo "$(date) deployed version $version" >> "$log"
