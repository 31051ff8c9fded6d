#!/bin/sh
# Started as root, make the mounted folders writable for the service's user and become that user; otherwise just start.
# Mounted folders belong to whoever made them on the host, and the service never runs as root.
set -eu

if [ "$(id -u)" = 0 ]; then
    for folder in /app/storage /app/logs; do
        mkdir -p "$folder"
        [ "$(stat -c %u "$folder")" = 10001 ] || chown -R 10001:10001 "$folder"
    done
    exec setpriv --reuid=10001 --regid=10001 --clear-groups "$0" "$@"
fi
exec "$@"
