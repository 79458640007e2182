#!/bin/sh
# Installs what the handler needs into a folder (./build by default) and compiles it there: packages, stubs made of the .proto
# files, JavaScript. It does nothing when that was done before for the same files.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
api=$(cd "$here/../../api" && pwd)
into=${1:-$here/build}
want=$(cat "$here"/package.json "$here"/tsconfig.json "$here"/src/*.ts "$api"/gesta/v1/*.proto | cksum)
[ "$(cat "$into/done" 2>/dev/null || true)" = "$want" ] && exit 0
mkdir -p "$into"
cd "$into"
rm -rf src stubs proto out
cp -R "$here/package.json" "$here/tsconfig.json" "$here/src" .
mkdir -p proto/gesta/v1
cp "$api"/gesta/v1/*.proto proto/gesta/v1/
npm install --no-audit --no-fund --loglevel=error
npx proto-loader-gen-types --keepCase --longs=String --enums=String --defaults --oneofs --grpcLib=@grpc/grpc-js \
	--includeDirs=proto --outDir=stubs gesta/v1/runtime.proto >/dev/null
npx tsc --outDir out
echo "$want" >done
