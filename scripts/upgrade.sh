#!/bin/sh
# Upgrade: back up, stop, take the new code, build, start, verify; put the old code back when it does not get healthy.
#
#   scripts/upgrade.sh [REVISION]      default: the newest of the branch that is checked out
#
# MODE=compose (default where docker is): docker compose down, build, up.  MODE=local: `make setup`, and STOP, START say
# how the service is stopped and started (default: systemctl stop/start megatts3).
# MEGATTS3_URL is what must be healthy in the end, within WAIT_S seconds (600).  COMPOSE: how compose is called.
set -eu
cd "$(dirname "$0")/.."
URL=${MEGATTS3_URL:-http://localhost:9000}
WAIT_S=${WAIT_S:-600}
COMPOSE=${COMPOSE:-docker compose}
STOP=${STOP:-systemctl stop megatts3}
START=${START:-systemctl start megatts3}
if [ -z "${MODE:-}" ]; then
    MODE=local
    ! command -v docker >/dev/null 2>&1 || MODE=compose
fi

say() {
    echo "upgrade: $*"
}

stop() { if [ "$MODE" = compose ]; then $COMPOSE down; else sh -c "$STOP"; fi }
build() { if [ "$MODE" = compose ]; then $COMPOSE build --pull; else make setup; fi }
start() { if [ "$MODE" = compose ]; then $COMPOSE up -d; else sh -c "$START"; fi }

is_healthy() {
    waited=0
    until curl -fsS -m 5 -o /dev/null "$URL/health" 2>/dev/null; do
        [ "$waited" -lt "$WAIT_S" ] || return 1
        sleep 1
        waited=$((waited + 1))
    done
}

if [ -n "$(git status --porcelain --untracked-files=no -- . ':!configs')" ]; then
    say "tracked files were changed here; commit or undo that first" >&2
    git status --short --untracked-files=no -- . ':!configs' >&2
    exit 1
fi
OLD=$(git rev-parse HEAD)
COPY="configs.backup.$(date +%Y%m%d)"
[ -e "$COPY" ] || cp -r configs "$COPY"
say "settings are kept in $COPY"
git fetch --quiet origin
NEW=$(git rev-parse --verify --quiet "${1:-@{upstream\}}^{commit}") || NEW=$(git rev-parse --verify "origin/$(git branch --show-current)^{commit}")
if [ "$OLD" = "$NEW" ]; then
    say "already at $(git rev-parse --short HEAD)"
    exit 0
fi
say "stopping"
stop
say "backup $(scripts/backup.sh)"

go_back() {
    say "going back to $(git rev-parse --short "$OLD")" >&2
    stop || true
    git reset --quiet --keep "$OLD" && build && start && is_healthy && say "the old version runs again" >&2
    exit 1
}

say "$(git rev-parse --short "$OLD") → $(git rev-parse --short "$NEW")"
git merge --ff-only --quiet "$NEW" || { say "not a fast-forward, or settings here conflict with the new ones" >&2; start; exit 1; }
build || go_back
start || go_back
say "waiting for $URL/health"
is_healthy || go_back
say "done: $(curl -fsS -m 5 "$URL/health" | tr -d '\n' | cut -c1-120)"
