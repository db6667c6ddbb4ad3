# A damaged bitmap gives an error or more dirt, never less; check names the damage, and --repair makes the file whole.
source "$(dirname "$0")/lib.sh"

# Eight pages: clean, clean, scattered bits, all set, and a short one at the end; two regions in the log.
"$drseed" bitmap create b --size 1050673152 >/dev/null
"$drseed" bitmap set b --range 300MiB+4KiB --range 310MiB+12KiB --range 384MiB+128MiB --range 1050672640+512 >/dev/null
"$bin/bitmap_fixture" b log 9 10
"$drseed" bitmap export b >wanted
[ "$(wc -l <wanted)" = 5 ] || fail "$(cat wanted)"
expect 0 "$drseed" bitmap check b
says "OK"

cat >harm.py <<'PY'
# harm.py SOURCE TARGET KIND NUMBER: the same file with a part of it changed; prints what it did.
import random, shutil, sys
source, target, number = sys.argv[1], sys.argv[2], int(sys.argv[4])
shutil.copyfile(source, target)
RECORD, LOG = 8192, 8192 + 4 * 65536
TABLE = LOG + 4 * 8192
PAGES = TABLE + 2 * 512
parts = {'header': [0, 4096], 'state': [RECORD + i * 65536 for i in range(4)], 'log': [LOG + i * 8192 for i in range(4)],
         'table': [TABLE, TABLE + 512], 'page': [PAGES + 2 * 4608 + i * 512 for i in range(9)] + [PAGES + 7 * 4608]}
rng = random.Random(number)
with open(target, 'r+b') as f:
    def change(at, length, edit):
        f.seek(at)
        was = f.read(length)
        f.seek(at)
        f.write(edit(was))
    kind = sys.argv[3]
    if kind == 'bit':
        part = rng.choice(sorted(parts))
        # The rest of a record's room is padding.
        at = rng.choice(parts[part]) + rng.randrange(64 if part in ('state', 'log') else 512)
        bit = 1 << rng.randrange(8)
        change(at, 1, lambda was: bytes([was[0] ^ bit]))
        print(part, at, bit)
    elif kind == 'zeros':
        part = rng.choice(sorted(parts))
        change(rng.choice(parts[part]), 512, lambda was: bytes(512))
        print(part)
    elif kind == 'swap':  # a sector in the place of another, each whole in itself
        part = rng.choice(['table', 'page'])
        a, b = rng.sample(parts[part], 2)
        f.seek(a)
        other = f.read(512)
        change(b, 512, lambda was: other)
        print(part, a, b)
    else:  # every copy of one kind
        for at in parts[kind]:
            change(at, 512, lambda was: bytes(x ^ 0x55 for x in was))
        print('all of', kind)
PY
cat >superset.py <<'PY'
import sys
def blocks(path):
    return {b for line in open(path) for o, n in [map(int, line.split())] for b in range(o // 4096, (o + n + 4095) // 4096)}
missing = blocks(sys.argv[1]) - blocks(sys.argv[2])
sys.exit(f'{len(missing)} dirty blocks are missing, the first is {min(missing)}' if missing else 0)
PY

# harmed: `d` is a damaged copy of `b`; what says of it must hold.
harmed() {
    local status=0
    "$drseed" bitmap export d >found 2>err || status=$?
    case $status in
        0) python3 superset.py wanted found || fail "$what: less dirt" ;;
        1) return ;;
        *) fail "$what: export ended with status $status: $(cat err)" ;;
    esac
    grep -qF warning err || { same b d; return; }
    cp d before
    expect 1 "$drseed" bitmap check d
    says BAD
    same d before
    expect 0 "$drseed" bitmap check d --repair
    expect 0 "$drseed" bitmap check d
    expect 0 "$drseed" bitmap export d
    python3 superset.py found out || fail "$what: repair lost dirt"
    python3 superset.py out found || fail "$what: repair made more dirty than it said"
}

for number in $(seq 12); do
    for kind in bit zeros swap; do
        what="$kind $number: $(python3 harm.py b d $kind "$number")"
        harmed
    done
done
for kind in header state; do
    what=$(python3 harm.py b d $kind 0)
    expect 1 "$drseed" bitmap show d
    expect 1 "$drseed" bitmap check d --repair --json
    [ "$(json 'v["exit_status"], "d: " in v["error"]')" = "(1, True)" ] || fail "$what: $(cat out)"
done
for kind in table log page; do
    what=$(python3 harm.py b d $kind 0)
    harmed
    expect 0 "$drseed" bitmap show d --json
    [ "$(json 'v["slots"][0]["dirty_bytes"] == v["volume_bytes"]')" = "$([ $kind = page ] && echo False || echo True)" ] || fail "$what: $(cat out)"
done

# The warning names the file, the offset, the slot and the blocks; check --json too.
python3 - <<'PY'
data = bytearray(open('b', 'rb').read())
at = 8192 + 4 * 65536 + 4 * 8192 + 1024 + 2 * 4608
data[at + 40] ^= 1
open('d', 'wb').write(data)
PY
expect 0 "$drseed" bitmap set d --range 0+1
says "d: page of slot local at offset 313344 (4608 bytes) is damaged: 3648 blocks count as dirty"
expect 1 "$drseed" bitmap check d --json
[ "$(json 'v["good"], [(i["what"], i["offset_bytes"], i["slot"], i["dirty_blocks"]) for i in v["damage"]]')" = "(False, [('page', 313344, 'local', 3648)])" ] || fail "$(cat out)"

# Cut, lengthened, or no bitmap at all.
size=$(stat -c %s b)
for length in 0 1 511 512 4096 4608 8192 100000 303104 $((size - 4096)) $((size - 1)) $((size + 1)) $((2 * size)); do
    cp b d
    truncate -s "$length" d
    expect 1 "$drseed" bitmap show d
    expect 1 "$drseed" bitmap check d --repair
    expect 1 "$drseed" bitmap set d --all
    [ "$(stat -c %s d)" = "$length" ]
done
head -c "$size" /dev/urandom >d
expect 1 "$drseed" bitmap show d
says "not a drseed bitmap file"
head -c "$size" /dev/zero >d
expect 1 "$drseed" bitmap clear d
expect 3 "$drseed" bitmap show nowhere
expect 2 "$drseed" bitmap show .

# After clear no damage to one record brings the former base back, for which clean bits would be wrong; both copies of it
# bad is what no crash does, and reads as all dirty.
"$bin/bitmap_fixture" b log
"$bin/bitmap_fixture" b sequence 12 12
expect 0 "$drseed" bitmap clear b
for which in 0 1; do
    python3 - $which <<'PY'
import sys
data = bytearray(open('b', 'rb').read())
at = 8192 + int(sys.argv[1]) * 2 * 65536
data[at:at + 131072] = bytes(131072)
open('d', 'wb').write(data)
PY
    expect 0 "$drseed" bitmap show d --json
    [ "$(json 'v["slots"][0]["base_sequence"], v["slots"][0]["dirty_blocks"] == v["slots"][0]["dirty_bytes"] // 4096 == 256512')" = "(12, True)" ] || fail "$(cat out)"
done
