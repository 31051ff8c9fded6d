#!/bin/sh
# Keep what cannot be made again: settings, voices, the records in Redis.  Weights, cache and ended jobs are not in it.
#
#   scripts/backup.sh [DIRECTORY]          a new archive there (default backups/); its name is printed
#   scripts/backup.sh --restore ARCHIVE    put it back; the service must be stopped, what is there is moved aside
#
# MEGATTS3_STORAGE_DIR names the storage folder (default storage/).  With a Redis of its own (REDIS_URL), back that
# server up by its own means too: this archive then holds the files only, and says so.
set -eu
cd "$(dirname "$0")/.."
STORAGE=${MEGATTS3_STORAGE_DIR:-storage}
PYTHON=${PYTHON:-.venv/bin/python}
[ -x "$PYTHON" ] || PYTHON=python3

now() {
    date +%Y%m%d-%H%M%S
}

is_running() {    # somebody holds the lock of the storage folder
    [ -e "$STORAGE/megatts3.pid" ] && ! "$PYTHON" - "$STORAGE/megatts3.pid" <<'PYTHON'
import fcntl
import sys

with open(sys.argv[1], "a+") as handle:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(1)
PYTHON
}

restore() {
    archive=$1
    gzip -t "$archive" || { echo "backup: $archive is damaged" >&2; exit 1; }
    if is_running; then
        echo "backup: the service is running on $STORAGE; stop it first" >&2
        exit 1
    fi
    aside=before-restore-$(now)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    tar -xzf "$archive" -C "$work"
    (cd "$work" && sha256sum --quiet -c SHA256SUMS) || { echo "backup: $archive is not what it was" >&2; exit 1; }
    mkdir -p "$STORAGE" "$STORAGE/$aside"
    for part in voices redis; do
        if [ -d "$work/$part" ]; then
            [ ! -e "$STORAGE/$part" ] || mv "$STORAGE/$part" "$STORAGE/$aside/"
            cp -a "$work/$part" "$STORAGE/"
        fi
    done
    if [ -d "$work/configs" ]; then
        [ ! -d configs ] || cp -a configs "$STORAGE/$aside/"
        mkdir -p configs
        cp -a "$work/configs/." configs/
    fi
    echo "restored $archive; what was there is in $STORAGE/$aside"
}

backup() {
    target=${1:-backups}
    mkdir -p "$target"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    [ ! -d configs ] || cp -a configs "$work/configs"
    # Records before files: a voice that is deleted meanwhile leaves a file too many, never a record without its file.
    if [ -d "$STORAGE/redis" ]; then
        cp -a "$STORAGE/redis" "$work/redis"    # append-only: a copy taken while it grows is cut at its end, and loads
    else
        echo "records are in the Redis that REDIS_URL names; they are not in this archive" > "$work/REDIS-IS-ELSEWHERE"
    fi
    [ ! -d "$STORAGE/voices" ] || cp -a "$STORAGE/voices" "$work/voices"
    (cd "$work" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + > SHA256SUMS)
    archive="$target/megatts3-$(now).tar.gz"
    tar -czf "$archive.part" -C "$work" .
    mv "$archive.part" "$archive"
    chmod 600 "$archive"    # voices of people, and texts
    echo "$archive"
}

case "${1:-}" in
--restore) [ $# = 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }; restore "$2" ;;
-h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" ;;
-*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
*) backup "${1:-}" ;;
esac
