#!/bin/sh
# Build the images where there is no Docker, and run what is in them: entry point, health check, size.  For machines
# with root, buildah and debootstrap; where Docker is, `docker compose build` does the same with the same files.
#
#   scripts/build_images.sh [api] [worker] [server]        default: api; worker and server take torch, 5 GB each
#
# The base image is made by debootstrap, so no registry is asked.  WORK: where it all goes (default build/images).
# BUD_OPTIONS: further options of buildah, such as mounts for a proxy's certificates.
set -eu
cd "$(dirname "$0")/.."
WORK=${WORK:-$PWD/build/images}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
BASE=docker.io/library/debian:bookworm-slim
mkdir -p "$WORK"

buildah_() {
    buildah --root "$WORK/containers" --runroot "$WORK/run" --storage-driver overlay "$@"
}

make_base() {
    buildah_ inspect --type image "$BASE" >/dev/null 2>&1 && return
    [ -e "$WORK/bookworm/etc/debian_version" ] || debootstrap --variant=minbase bookworm "$WORK/bookworm" "$MIRROR"
    container=$(buildah_ from scratch)
    buildah_ add -q "$container" "$WORK/bookworm" /
    buildah_ commit -q "$container" "$BASE" >/dev/null
    buildah_ rm "$container" >/dev/null
}

build() {    # name, Dockerfile
    # shellcheck disable=SC2086  # options are several words
    buildah_ bud --isolation chroot --network host --pull-never --layers --format docker ${BUD_OPTIONS:-} \
        -f "$2" -t "megatts3-$1" .
}

size_without_base() {    # of an image's own files, in MB
    root=$(buildah_ mount "$1")
    total=$(du -smx --exclude=./proc "$root" | cut -f1)
    base=$(du -smx "$WORK/bookworm" | cut -f1)
    buildah_ umount "$1" >/dev/null
    echo $((total - base))
}

inside() {    # container, command …: as the image's user, in the image's files
    container=$1
    shift
    buildah_ run --isolation chroot --network host "$container" -- "$@"
}

check_api() {
    container=$(buildah_ from --pull-never megatts3-api)
    echo "api: $(size_without_base "$container") MB without its base"
    inside "$container" python -c 'import megatts3_server.wsgi, sys; assert "torch" not in sys.modules'
    if inside "$container" python -c 'import torch' 2>/dev/null; then
        echo "api: torch is in the image" >&2
        return 1
    fi
    [ "$(inside "$container" id -u)" = 10001 ] || { echo "api: runs as root" >&2; return 1; }
    inside "$container" megatts3 up --help >/dev/null
    run_it "$container"
}

run_it() {    # its own command against a Redis of this machine, its own health check, its own stop
    container=$1
    redis=$(.venv/bin/python -c 'from cli.embedded_redis import server_binary; print(server_binary())')
    port=$(.venv/bin/python -c 'from cli.ports import free_port; print(free_port())')
    api_port=$(.venv/bin/python -c 'from cli.ports import free_port; print(free_port())')
    "$redis" --port "$port" --bind 127.0.0.1 --save '' --dir "$WORK" >/dev/null &
    redis_pid=$!
    buildah_ run --isolation chroot --network host --env "REDIS_URL=redis://127.0.0.1:$port" \
        --env "API_HOST=127.0.0.1" --env "API_PORT=$api_port" --env MEGATTS3_METRICS_PORT=0 \
        --env LOG_LEVEL=INFO --env WORKERS=2 "$container" -- megatts3 up --only api > "$WORK/api.out" 2>&1 &
    api_pid=$!
    waited=0
    until inside "$container" curl -fsS -o /dev/null "http://localhost:$api_port/health/live" 2>/dev/null; do
        waited=$((waited + 1))
        if [ "$waited" -gt 60 ]; then
            cat "$WORK/api.out" >&2
            kill "$api_pid" "$redis_pid"
            return 1
        fi
        sleep 1
    done
    echo "api: its command answers and its health check passes"
    status=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$api_port/health")
    echo "api: /health is $status without a worker (503 is right)"
    launcher=$(pgrep -f "cli.main up --only api" | while read -r pid; do
        tr '\0' '\n' < "/proc/$pid/environ" 2>/dev/null | grep -q "^API_PORT=$api_port$" && echo "$pid"; done | tail -n 1)
    kill -TERM "$launcher"
    wait "$api_pid" && echo "api: stopped in order"
    kill "$redis_pid"
    [ "$status" = 503 ]
}

check_worker() {
    container=$(buildah_ from --pull-never megatts3-worker)
    echo "worker: $(size_without_base "$container") MB without its base"
    if inside "$container" python -c 'import flask' 2>/dev/null; then
        echo "worker: Flask is in the image" >&2
        return 1
    fi
    [ "$(inside "$container" id -u)" = 10001 ] || { echo "worker: runs as root" >&2; return 1; }
    buildah_ run --isolation chroot --network host -v "$PWD/checkpoints:/app/checkpoints:ro" "$container" -- \
        megatts3 doctor --only worker
}

make_base
for name in ${*:-api}; do
    case "$name" in
    api) build api Dockerfile.api; check_api ;;
    worker) build worker Dockerfile.worker; check_worker ;;
    server) build server Dockerfile ;;
    *) echo "what is $name?" >&2; exit 2 ;;
    esac
done
