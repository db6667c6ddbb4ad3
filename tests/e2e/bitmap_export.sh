# What export writes, import reads: the same dirt, in every format, through files and pipes.
source "$(dirname "$0")/lib.sh"

"$drseed" bitmap create b --size 1000000512 >/dev/null
python3 - >map <<'PY'
import random
rng = random.Random(5)
for _ in range(3000): print(rng.randrange(1000000512 // 512 - 64) * 512, rng.randrange(1, 64) * 512)
print('# the last sector\n\n', 1000000000, 512)
PY
expect 0 "$drseed" bitmap import b map
"$drseed" bitmap export b >wanted
tail -n 1 wanted >last
[ "$(cut -d' ' -f1 last)" -lt 1000000512 ] || fail "$(cat last)"
[ "$(awk '{end = $1 + $2} END {print end}' wanted)" = 1000000512 ] || fail "the last run does not end with the volume: $(cat last)"

for format in text json map; do
    expect 0 "$drseed" bitmap export b --format $format --output "exported.$format"
    "$drseed" bitmap export b --format $format >piped
    same piped "exported.$format"
    for how in auto $format; do
        rm -f c
        "$drseed" bitmap create c --size 1000000512 >/dev/null
        expect 0 "$drseed" bitmap import c "exported.$format" --format "$how" --json
        "$drseed" bitmap export c >found
        same wanted found
        expect 0 "$drseed" bitmap import c "exported.$format" --json
        [ "$(json 'v["slots"][0]["added_blocks"]')" = 0 ]
    done
    rm -f c
    "$drseed" bitmap create c --size 1000000512 --block-size 64KiB >/dev/null
    "$drseed" bitmap export b --format $format | "$drseed" bitmap import c - >/dev/null
    "$drseed" bitmap export c >found
    [ "$(awk '$1 % 65536 {print} $2 % 65536 && $1 + $2 != 1000000512 {print}' found)" = "" ] || fail "larger blocks"
done
python3 - <<'PY'
import json
runs = [tuple(map(int, line.split())) for line in open('wanted')]
exported = json.load(open('exported.json'))
assert [(r['offset_bytes'], r['length_bytes']) for r in exported['runs']] == runs
assert (exported['volume_bytes'], exported['block_bytes']) == (1000000512, 4096)
extents = json.load(open('exported.map'))
at = 0
for e in extents:
    assert e['offset'] == at and (e['type'], e['description']) in [(0, 'clean'), (1, 'dirty')]
    at += e['length']
assert at == 1000000512
assert [(e['offset'], e['length']) for e in extents if e['type']] == runs
PY

# All clean and all dirty have maps too.
for dirty in "" --all-dirty; do
    rm -f d e
    # shellcheck disable=SC2086
    "$drseed" bitmap create d --size 1GiB $dirty >/dev/null
    for format in text json map; do
        "$drseed" bitmap export d --format $format >piped
        rm -f e
        "$drseed" bitmap create e --size 1GiB >/dev/null
        expect 0 "$drseed" bitmap import e piped --format $format
        expect 0 "$drseed" bitmap show e --json
        [ "$(json 'v["slots"][0]["dirty_percent"]')" = "$([ -n "$dirty" ] && echo 100.0 || echo 0.0)" ] || fail "'$dirty' $format: $(cat out)"
    done
done

# Nothing is overwritten, least of all the bitmap; a full pipe is noticed.
cp b before
expect 4 "$drseed" bitmap export b --output b
expect 4 "$drseed" bitmap export b --output wanted
same b before
status=0
"$drseed" bitmap export b >/dev/full 2>err || status=$?
[ $status = 3 ] || fail "a full pipe: status $status"
grep -qF "No space left" err
expect 2 "$drseed" bitmap export b --format xml
