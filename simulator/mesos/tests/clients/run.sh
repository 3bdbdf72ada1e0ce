#!/bin/sh
# Independent clients against `simulator mesos`: pymesos of PyPI and mesos-framework of npm complete a
# task's life. usage: simulator/mesos/tests/clients/run.sh [SIMULATOR]   (needs python3, pip, node, npm;
# a line `pass NAME` for each)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
simulator=${1:-$here/../../../../target/debug/simulator}
folder=$(mktemp -d)
pid=
finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT INT TERM

: >"$folder/said"
"$simulator" mesos --agents 3 --listen 127.0.0.1:0 >"$folder/said" 2>"$folder/told" &
pid=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    address=$(sed -n 's|.*http://||p' "$folder/said")
    [ -z "$address" ] || break
    sleep 0.5
done
[ -n "$address" ] || { cat "$folder/told" >&2; exit 1; }

# http-parser's C code doesn't build for CPython 3.11 and later: without it the same in Python is used.
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check --no-deps addict==2.4.0 six==1.17.0 kazoo==2.11.0
"$folder/python/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
    --dest "$folder" pymesos==0.3.15 http-parser==0.9.0
mkdir "$folder/modules"
for archive in "$folder"/*.tar.gz; do
    tar -xzf "$archive" -C "$folder"
done
mv "$folder"/pymesos-*/pymesos "$folder"/http?parser-*/http_parser "$folder/modules"
rm -f "$folder"/modules/http_parser/*.c "$folder"/modules/http_parser/*.pyx
echo "pymesos 0.3.15:"
PYTHONPATH=$folder/modules "$folder/python/bin/python" "$here/life.py" "$address"
echo "pass pymesos 0.3.15"

mkdir "$folder/node"
cp "$here/life.js" "$folder/node"
(cd "$folder/node" && npm install --silent --no-audit --no-fund --ignore-scripts mesos-framework@0.5.3 >/dev/null)
echo "mesos-framework 0.5.3:"
(cd "$folder/node" && node life.js "${address%:*}" "${address##*:}")
echo "pass mesos-framework 0.5.3"
