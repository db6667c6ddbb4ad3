# A full or read-only disk while a bitmap is made or saved: exit 3, and the former dirt or more is there.
source "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip "needs root to mount a small tmpfs"

make_mount tmpfs small -t tmpfs -o size=512k
expect 0 "$drseed" bitmap create small/b --size 1TiB
expect 0 "$drseed" bitmap set small/b --range 0+4096 --range 1GiB+1GiB
"$drseed" bitmap export small/b >before
# A bit in each of 1,000 pages needs 4.6 MB.
python3 -c 'for i in range(1000): print(i * (128 << 20) + 8192, 4096)' >map
expect 3 "$drseed" bitmap import small/b map
says "No space left"
expect 0 "$drseed" bitmap check small/b
expect 0 "$drseed" bitmap export small/b
python3 - <<'PY'
def blocks(path): return {b for line in open(path) for o, n in [map(int, line.split())] for b in range(o // 4096, (o + n) // 4096)}
assert blocks('before') <= blocks('out'), 'dirt is lost'
assert blocks('out') <= blocks('before') | blocks('map'), 'dirt that nobody asked for'
PY
expect 3 "$drseed" bitmap create small/c --size 1TiB
says "No space left"
[ "$(ls small)" = b ] || fail "a failed create left $(ls small)"

mount -o remount,size=16m small
expect 0 "$drseed" bitmap import small/b map
expect 0 "$drseed" bitmap export small/b
[ "$(wc -l <out)" = 994 ] || fail "$(wc -l <out) runs"

mount -o remount,ro small
cp small/b before
for command in "set small/b --all" "clear small/b" "check small/b --repair" "create small/c --size 1GiB"; do
    # shellcheck disable=SC2086
    expect 3 "$drseed" bitmap $command
    says "Read-only"
done
same small/b before
expect 0 "$drseed" bitmap show small/b
expect 0 "$drseed" bitmap check small/b
