#!/bin/sh
# Train, export and judge mini on one GPU in 25 minutes, from a bare machine: no network, no root.
#
#   sh scripts/train_on_gpu.sh [--wheels DIR] [--debs DIR] [--out DIR] [--corpus DIR] [--minutes N] [--trial]
#
#   --wheels DIR   wheels of the extras worker, train and eval; without it python's own packages must do
#   --debs DIR     .deb files of flite, espeak-ng and what they need; unpacked, not installed, where these are missing
#   --out DIR      everything made goes here (default runs/gpu): corpus/, mini/, checkpoint/, evaluation/, logs/
#   --corpus DIR   use this corpus instead of making one
#   --minutes N    for all of it (default 25)
#   --trial        the whole chain in miniature, on the CPU: what it makes does not speak
#
# Run again after an interruption it goes on where it stopped.  PYTHON names the interpreter (default python3).
set -eu
cd "$(dirname "$0")/.."

OUT=runs/gpu
WHEELS=
DEBS=
CORPUS=
MINUTES=25
TRIAL=
while [ $# -gt 0 ]; do
    case "$1" in
    --wheels) WHEELS=$2; shift 2 ;;
    --debs) DEBS=$2; shift 2 ;;
    --out) OUT=$2; shift 2 ;;
    --corpus) CORPUS=$2; shift 2 ;;
    --minutes) MINUTES=$2; shift 2 ;;
    --trial) TRIAL=yes; shift ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
mkdir -p "$OUT/logs" "$OUT/done"
OUT=$(cd "$OUT" && pwd)
CORPUS=${CORPUS:-$OUT/corpus}
PYTHON=${PYTHON:-python3}
export PYTHONPATH="$PWD"
STARTED=$(date +%s)

say() {
    echo "[$(($(date +%s) - STARTED)) s] $*"
}

install_wheels() {    # the extras' requirements as pyproject.toml states them, from the folder alone
    "$PYTHON" -m venv --system-site-packages "$OUT/venv"
    "$PYTHON" - > "$OUT/requirements.txt" <<'EXTRAS'
import pathlib
import tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
for extra in ("worker", "train", "eval"):
    print(*project["optional-dependencies"][extra], sep="\n")
EXTRAS
    "$OUT/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$WHEELS" \
        -r "$OUT/requirements.txt" pyyaml
}

if [ -n "$WHEELS" ]; then
    [ -e "$OUT/done/wheels" ] || { say "installing wheels"; install_wheels; : > "$OUT/done/wheels"; }
    PYTHON="$OUT/venv/bin/python"
fi

if ! command -v flite >/dev/null || ! command -v espeak-ng >/dev/null; then
    [ -n "$DEBS" ] || { echo "flite and espeak-ng are missing: install them, or give their .deb files by --debs" >&2; exit 1; }
    say "unpacking the teachers"
    for deb in "$DEBS"/*.deb; do
        dpkg -x "$deb" "$OUT/root"
    done
    libraries=$(dirname "$(find "$OUT/root" -name 'libespeak-ng.so.1' | head -n 1)")
    data=$(find "$OUT/root" -type d -name espeak-ng-data | head -n 1)
    export PATH="$OUT/root/usr/bin:$PATH"
    export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    export ESPEAK_DATA_PATH="$(dirname "$data")"
fi

# Small networks on many cores: a few threads for each of the processes that learn side by side.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
export OMP_NUM_THREADS
DEVICE=cuda
HOURS=7
SHARE=$("$PYTHON" -c "print($MINUTES / 25)")
SENTENCES=12
STEPS=32
if [ -n "$TRIAL" ]; then
    DEVICE=cpu HOURS=0.25 SHARE=0.0005 SENTENCES=1 STEPS=2 OMP_NUM_THREADS=1
elif ! "$PYTHON" -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
    echo "torch finds no GPU; --trial needs none" >&2
    exit 1
fi

RUNNING=    # what goes on beside
CHILD=      # what is waited for
trap 'for child in $RUNNING $CHILD; do kill "$child" 2>/dev/null || true; done' EXIT
trap 'exit 130' INT TERM

stages() {    # one after the other; a finished one is not done again
    for stage in "$@"; do
        if [ ! -e "$OUT/done/$stage" ]; then
            say "$stage"
            "$PYTHON" scripts/train.py configs/train/mini_gpu.yaml --stage "$stage" --out "$OUT/mini" \
                --corpus "$CORPUS" --checkpoint "$OUT/checkpoint" --device "$DEVICE" --threads "$OMP_NUM_THREADS" \
                --share "$SHARE" > "$OUT/logs/$stage.log" 2>&1 &
            CHILD=$!
            wait "$CHILD" || { say "$stage failed:"; tail -n 20 "$OUT/logs/$stage.log"; return 1; }
            CHILD=
            : > "$OUT/done/$stage"
        fi
    done
}

beside() {    # the same, while the rest goes on
    (
        RUNNING='' CHILD=''
        trap 'kill $CHILD 2>/dev/null; exit 1' TERM
        stages "$@"
    ) &
    RUNNING="$RUNNING $!"
}

together() {    # waits for all that was started beside; fails if one did
    failed=
    for child in $RUNNING; do
        wait "$child" || failed=yes
    done
    RUNNING=
    [ -z "$failed" ]
}

if [ ! -e "$CORPUS/utterances.jsonl" ] || { [ "$CORPUS" = "$OUT/corpus" ] && [ ! -e "$OUT/done/corpus" ]; }; then
    say "making the corpus"
    "$PYTHON" scripts/make_corpus.py --out "$CORPUS" --hours "$HOURS" > "$OUT/logs/corpus.log" 2>&1
    : > "$OUT/done/corpus"
fi
beside aligner duration_lm
stages wavvae latents
beside decoder
beside dit
together
stages export

say "judging"    # on the CPU: speed is promised there; all sentences are judged by make evaluate
TRIAL_ONLY=${TRIAL:+--report-only}
status=0
# shellcheck disable=SC2086  # an empty flag is no argument
"$PYTHON" scripts/evaluate.py "$OUT/checkpoint" --corpus "$CORPUS" --out "$OUT/evaluation" --device cpu \
    --quick "$SENTENCES" --steps "$STEPS" --threads "$OMP_NUM_THREADS" $TRIAL_ONLY || status=$?
say "done: $OUT/checkpoint"
exit "$status"
