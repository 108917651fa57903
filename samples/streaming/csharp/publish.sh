#!/bin/sh
# Builds one self-contained file that needs no .NET where it runs: publish.sh [folder], default ./publish.
# Upload it once and name it as mapper and as reducer, with mapperArgs ["map"] and reducerArgs ["reduce"].
set -eu
cd "$(dirname "$0")"
dotnet publish WordCount.csproj -c Release -r "linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')" --self-contained \
    -p:PublishSingleFile=true -p:PublishTrimmed=true -p:DebugType=none -o "${1:-publish}"
