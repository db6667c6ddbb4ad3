# What the end-to-end tests share. Each test is a script of one behaviour, run as `test.sh BIN_DIR`, and has a folder of its own, $work,
# which goes when it ends. Exit status 77: skipped, with the reason on the last line.
# shellcheck shell=bash
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
bin=$(readlink -f "${1:?usage: test.sh BIN_DIR}")
drseed=$bin/drseed
work=$(mktemp -d "${TMPDIR:-/tmp}/drseed-e2e.XXXXXX")
export DRSEED_STATE_DIR=$work/state
loops=()
mounts=()
children=()

clean_up() {
    local status=$?
    set +e
    for mount in "${mounts[@]}"; do umount "$mount" 2>/dev/null; done
    for child in "${children[@]}"; do kill "$child" 2>/dev/null && wait "$child" 2>/dev/null; done
    for loop in "${loops[@]}"; do losetup -d "$loop" 2>/dev/null; done
    rm -rf "$work"
    exit $status
}
trap clean_up EXIT
cd "$work"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

skip() {
    echo "SKIPPED: $*"
    exit 77
}

# expect STATUS COMMAND...: the command must end with that status. Its output is in $work/out and $work/err.
expect() {
    local wanted=$1 status=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    [ "$status" = "$wanted" ] || {
        cat "$work/out" "$work/err" >&2
        fail "'$*' ended with status $status, expected $wanted"
    }
}

# says TEXT: the last command run by `expect` printed it.
says() {
    grep -qF -- "$1" "$work/out" "$work/err" || {
        cat "$work/out" "$work/err" >&2
        fail "expected a message with '$1'"
    }
}

same() {
    cmp "$1" "$2" || fail "$1 and $2 differ"
}

# make_disk FILE SIZE [SEED]: a disk with text, noise, long and short runs of zeros, the same for the same seed.
make_disk() {
    python3 - "$@" <<'PY'
import random, sys
path, size, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
rng = random.Random(seed)
with open(path, 'wb') as disk:
    at = 0
    while at < size:
        length = min(size - at, rng.choice([512, 4096, 70000, 262144, 524288, 1500000]))
        kind = rng.randrange(4)
        if kind == 0:
            disk.seek(length, 1)
        elif kind == 1:
            disk.write(rng.randbytes(length))
        elif kind == 2:
            disk.write(bytes(length))
        else:
            line = b'block %d of the demo disk, seed %d\n' % (at, seed)
            disk.write((line * (length // len(line) + 1))[:length])
        at += length
    disk.truncate(size)
PY
}

need_root() {
    [ "$(id -u)" = 0 ] || skip "needs root for loop devices"
    losetup -f >/dev/null 2>&1 || skip "no loop device is to be had"
}

# make_loop FILE: sets $loop.
make_loop() {
    loop=$(losetup --show -f "$@")
    loops+=("$loop")
}

drop_loop() {
    losetup -d "$1"
    local rest=()
    for loop in "${loops[@]}"; do [ "$loop" = "$1" ] || rest+=("$loop"); done
    loops=("${rest[@]}")
}

make_mount() {
    mkdir -p "$2"
    mount "${@:3}" "$1" "$2"
    mounts+=("$2")
}

json() {
    python3 -c 'import json,sys; value=json.load(open(sys.argv[1])); print(eval(sys.argv[2], {"v": value}))' "$work/out" "$1"
}
