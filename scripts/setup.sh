#!/bin/sh
# Make .venv hold exactly requirements/dev.lock and this project (editable).  Needs Python 3.11 and nothing else:
# uv does the work, and is installed into the environment where the machine has none.  Done before: returns at once.
set -eu
cd "$(dirname "$0")/.."

PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"
export PATH
if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then    # caches need a place when there is no home
    HOME="$PWD/build/home"
    mkdir -p "$HOME"
    export HOME
fi

VENV="${VENV:-.venv}"
LOCK=requirements/dev.lock
STAMP="$VENV/.megatts3-setup"
WANTED="$(cat "$LOCK" pyproject.toml | cksum) $PWD"    # the editable install points at this very folder

if [ -x "$VENV/bin/python" ] && [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$WANTED" ]; then
    exit 0
fi

right_version() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in "${PYTHON:-}" python3.11 python3 python; do
        if [ -n "$candidate" ] && right_version "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    echo "setup: needs Python 3.11 (the lock file is made for it); none found. Set PYTHON=/path/to/python3.11" >&2
    return 1
}

explain_venv() {
    rm -rf "$VENV"
    cat >&2 <<MESSAGE
setup: $1 cannot create a virtual environment (its venv or ensurepip module is missing).
       Debian and Ubuntu keep them in a package of their own:  apt-get install python3.11-venv
       Or install uv (https://docs.astral.sh/uv/), which needs neither, and run this again.
MESSAGE
    exit 1
}

if uv --version >/dev/null 2>&1; then
    UV=uv
else
    UV="$VENV/bin/uv"
fi

if ! [ -x "$VENV/bin/python" ] || ! right_version "$VENV/bin/python"; then
    python="$(find_python)"
    echo "setup: creating $VENV with $python"
    rm -rf "$VENV"
    if [ "$UV" = uv ]; then
        uv venv --quiet --python "$python" "$VENV"
    else
        "$python" -m venv "$VENV" || explain_venv "$python"
    fi
fi

if [ "$UV" != uv ] && ! [ -x "$UV" ]; then
    echo "setup: installing uv into $VENV"
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || explain_venv "$VENV/bin/python"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
fi

install() {    # behind a company's proxy the certificates uv brings may not do: then those of the system
    "$UV" pip install --quiet --python "$VENV/bin/python" "$@" 2>/dev/null ||
        UV_NATIVE_TLS=true UV_SYSTEM_CERTS=true "$UV" pip install --quiet --python "$VENV/bin/python" "$@"
}

echo "setup: installing $LOCK (torch is large: minutes the first time, seconds after)"
install --require-hashes -r "$LOCK"
install --no-deps --no-build-isolation -e .
echo "$WANTED" > "$STAMP"
echo "setup: done"
