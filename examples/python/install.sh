#!/bin/sh
# Installs what the handler needs into a folder (./build by default): a virtual environment, and the stubs made of the .proto files.
# It does nothing when that was done before for the same files.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
api=$(cd "$here/../../api" && pwd)
into=${1:-$here/build}
want=$(cat "$here/requirements.txt" "$api"/gesta/v1/*.proto | cksum)
[ "$(cat "$into/done" 2>/dev/null || true)" = "$want" ] && exit 0
mkdir -p "$into/stubs"
python3 -m venv "$into/venv"
"$into/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
"$into/venv/bin/python" -m grpc_tools.protoc -I "$api" --python_out="$into/stubs" --grpc_python_out="$into/stubs" \
	"$api"/gesta/v1/event.proto "$api"/gesta/v1/log.proto "$api"/gesta/v1/entities.proto "$api"/gesta/v1/runtime.proto
echo "$want" >"$into/done"
