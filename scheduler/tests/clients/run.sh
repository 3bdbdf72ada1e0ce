#!/bin/sh
# Independent clients against `scheduler serve --local`: PyPI's marathon and Prometheus' discovery of
# Marathon against /v2, and promtool against /metrics.
# usage: scheduler/tests/clients/run.sh [SCHEDULER]
# (needs python3 with venv and pip, and prometheus with promtool; a line `pass NAME` for each)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
scheduler=${1:-$here/../../../target/debug/scheduler}
folder=$(mktemp -d)
daemon=
prometheus=
finish() {
    [ -z "$prometheus" ] || kill "$prometheus" 2>/dev/null || true
    if [ -n "$daemon" ]; then
        SCHEDULER_DATA=$folder/data "$scheduler" app delete metrics >/dev/null 2>&1 || true
        kill "$daemon" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT INT TERM
fail() {
    echo "$1" >&2
    cat "$folder/serve.log" >&2
    exit 1
}

# Quick, as a test wants it.
cat >"$folder/policy.yml" <<'END'
preset: recommended
rollout: {warm_up: 200ms, cool_down: 200ms, step: 2, progress_deadline: 20s, failures: 2}
repair: {back_off: 50ms, back_off_most: 200ms}
END
"$scheduler" serve --local --listen 127.0.0.1:0 --ports 22000-22099 --docker /nowhere/docker \
    --policy "$folder/policy.yml" --data "$folder/data" >"$folder/serve.log" 2>&1 &
daemon=$!
for _ in $(seq 100); do
    [ ! -s "$folder/data/daemon.json" ] || break
    sleep 0.1
done
[ -s "$folder/data/daemon.json" ] || fail "the daemon doesn't listen"
said() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' \
        "$folder/data/daemon.json" "$1"
}
address=$(said address)
token=$(said token)

python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check marathon==0.13.0
"$folder/python/bin/python" "$here/life.py" "http://$address" "$token" || fail "marathon 0.13.0"
echo "pass marathon 0.13.0"

# Prometheus finds the instances of an app by its ports, with the labels of app and port.
cat >"$folder/app.json" <<'END'
{"id": "/metrics", "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16, "instances": 2,
 "labels": {"team": "images"},
 "portDefinitions": [{"port": 0, "name": "http", "labels": {"metrics": "/metrics"}}]}
END
python3 - "$address" "$token" "$folder/app.json" <<'END'
import sys
import urllib.request
address, token, file = sys.argv[1:]
request = urllib.request.Request(
    "http://%s/v2/apps" % address, data=open(file, "rb").read(), method="POST",
    headers={"Authorization": "token=" + token, "Content-Type": "application/json"})
assert urllib.request.urlopen(request).status == 201
END
cat >"$folder/prometheus.yml" <<END
scrape_configs:
- job_name: apps
  marathon_sd_configs:
  - servers: ["http://$address"]
    refresh_interval: 1s
END
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/tsdb" \
    --web.listen-address="127.0.0.1:$port" >"$folder/prometheus.log" 2>&1 &
prometheus=$!
python3 - "$port" <<'END' || { cat "$folder/prometheus.log" >&2; fail "Prometheus finds nothing"; }
import json
import sys
import time
import urllib.request
url = "http://127.0.0.1:%s/api/v1/targets" % sys.argv[1]
found = []
for _ in range(300):
    try:
        targets = json.load(urllib.request.urlopen(url))["data"]["activeTargets"]
        found = [one["discoveredLabels"] for one in targets]
    except OSError:
        pass
    if len(found) == 2:
        break
    time.sleep(0.1)
addresses = sorted(one["__address__"] for one in found)
assert len(addresses) == 2 and len(set(addresses)) == 2, found
for one in found:
    assert one["__address__"].startswith("127.0.0.1:220"), one
    assert one["__meta_marathon_app"] == "/metrics", one
    assert one["__meta_marathon_app_label_team"] == "images", one
    assert one["__meta_marathon_port_definition_label_metrics"] == "/metrics", one
    assert one["__meta_marathon_task"].startswith("metrics."), one
print("Prometheus found " + " and ".join(addresses))
END
echo "pass prometheus $(prometheus --version 2>&1 | sed -n 's/^prometheus, version \([^ ]*\).*/\1/p')"

python3 -c 'import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' "http://$address/metrics" \
    | promtool check metrics || fail "promtool check metrics"
echo "pass promtool check metrics"
