#!/usr/bin/env bash
# Builds everything, starts what the tests need, runs them all. The last line is `N passed, N failed`.
#   ./test.sh          everything but the long fault runs
#   ./test.sh --long   those too
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

for argument in "$@"; do
    case "$argument" in
        --long) export JOBHUB_TEST_LONG=1 ;;
        -h | --help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "test.sh: unknown argument '$argument'; it knows --long." >&2; exit 2 ;;
    esac
done

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1
# Build servers would stay behind after this script; the compiler's is a private one that ends with its step.
export MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0 UseSharedCompilation=true SharedCompilationId="jobhub-test-$$"
export LC_ALL=C.UTF-8

work=$(mktemp -d "${TMPDIR:-/tmp}/jobhub-test.XXXXXX") || exit 1
running=''
holder=''

# Ends what this script started, and only that: the current step with its whole process group, and the shared servers.
cleanup() {
    trap - EXIT INT TERM HUP
    if [ -n "$running" ] && kill -0 "$running" 2>/dev/null; then
        kill -TERM -- "-$running" 2>/dev/null
        for _ in $(seq 100); do kill -0 -- "-$running" 2>/dev/null || break; sleep 0.1; done
        kill -KILL -- "-$running" 2>/dev/null
    fi
    exec 8>&- 2>/dev/null
    [ -n "$holder" ] && wait "$holder" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Runs a step in a session of its own, so that a stop reaches everything it started.
step() {
    setsid "$@" < /dev/null &
    running=$!
    wait "$running"
    local code=$?
    kill -TERM -- "-$running" 2>/dev/null
    running=''
    return "$code"
}

need() {
    # program package: the package is wanted when the program is nowhere.
    command -v "$1" > /dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing+=("$2")
}

install_missing() {
    missing=()
    ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || need initdb postgresql
    need radosgw radosgw; need ceph-mon ceph-mon; need ceph-osd ceph-osd; need rabbitmq-server rabbitmq-server
    need bwrap bubblewrap; need mawk mawk; need python3 python3; need setsid util-linux; need curl curl; need ps procps; need chromium chromium
    # The samples in C.
    need cc gcc; [ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
        echo "test.sh: these programs are missing; install them with: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    fi
    echo "test.sh: apt-get installs ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Packages bring services that start by themselves; the tests start their own.
    local policy=/usr/sbin/policy-rc.d made=''
    if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod +x "$policy" && made=yes; fi
    { step apt-get update -q && step apt-get install -y -q --no-install-recommends "${missing[@]}"; } > "$work/apt.log" 2>&1
    local code=$?
    [ -n "$made" ] && rm -f "$policy"
    [ $code -eq 0 ] || { tail -20 "$work/apt.log" >&2; echo "test.sh: apt-get could not install ${missing[*]}" >&2; }
    return $code
}

if ! command -v dotnet > /dev/null; then
    echo "test.sh: the .NET SDK is missing (see global.json for its version)" >&2
    exit 1
fi
install_missing || exit 1

started=$SECONDS
# What holds the shared servers is built first: they need a quarter of a minute, which the rest of the build covers.
if ! step dotnet build tests/JobHub.TestServers/JobHub.TestServers.csproj -v q; then echo "test.sh: the build failed" >&2; exit 1; fi
mkfifo "$work/hold"
# The servers end when nothing holds the writing end of this pipe any more, also when this script is killed.
setsid dotnet exec tests/JobHub.TestServers/bin/Debug/net10.0/JobHub.TestServers.dll < "$work/hold" > "$work/servers" 2> "$work/servers.err" &
holder=$!
exec 8> "$work/hold"

if ! step dotnet build JobHub.sln -v q 8>&-; then echo "test.sh: the build failed" >&2; exit 1; fi

for _ in $(seq 1800); do
    grep -q '^ready$' "$work/servers" 2>/dev/null && break
    kill -0 "$holder" 2>/dev/null || break
    sleep 0.1
done
if ! grep -q '^ready$' "$work/servers"; then
    echo "test.sh: the S3 server did not start: $(cat "$work/servers.err")" >&2
    exit 1
fi
while IFS='=' read -r name value; do
    case "$name" in JOBHUB_TEST_*) export "$name=$value" ;; esac
done < "$work/servers"
echo "built and ready after $((SECONDS - started)) s"

passed=0
failed=0
broken=()
for project in tests/*.Tests/*.csproj; do
    name=$(basename "$project" .csproj)
    log="$work/$name.log"
    at=$SECONDS
    # A hang is a failure, not a night.
    step timeout -k 30 1800 dotnet test "$project" --no-build --logger 'console;verbosity=normal' --logger "trx;LogFileName=$name.trx" --results-directory "$work" 8>&- > "$log" 2>&1
    code=$?
    # <Counters total="12" executed="12" passed="12" failed="0" .../>
    counters=$(grep -o '<Counters [^>]*>' "$work/$name.trx" 2>/dev/null | tail -1)
    count() { sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<< "$counters"; }
    total=$(count total); good=$(count passed); bad=$(count failed)
    : "${total:=0}" "${good:=0}" "${bad:=0}"
    passed=$((passed + good))
    failed=$((failed + bad))
    echo "$name: $good passed, $bad failed, $((SECONDS - at)) s"
    if [ "$bad" -gt 0 ]; then
        grep -E -A 40 '^\s+Failed ' "$log" | head -400
    elif [ "$code" -ne 0 ] || [ "$total" -eq 0 ] || [ "$good" -ne "$total" ]; then
        # A crash, a hang that was cut off, a skipped test or a project without tests is a failure too, and counts as one.
        failed=$((failed + 1))
        broken+=("$name (exit code $code, $total tests)")
        tail -40 "$log"
    fi
done

[ ${#broken[@]} -gt 0 ] && echo "Did not run to a good end: ${broken[*]}"
trap - EXIT INT TERM HUP
cleanup
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
