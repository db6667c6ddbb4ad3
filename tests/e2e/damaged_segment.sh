# A damaged segment: the rest is applied, the range is named by verify and listed in the report, exit 1.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 8000000 5
"$drseed" image disk.img x.drseed --segment-size 256KiB --compress none >/dev/null
offset=$("$drseed" inspect x.drseed --segments --json | python3 -c '
import json, sys
data = [s for s in json.load(sys.stdin)["segments"] if s["kind"] == "data"]
print(data[len(data) // 2]["offset_bytes"])')
position=$(grep -abo "data/$(printf %016x "$offset")" x.drseed | sed -n 1p | cut -d: -f1)
printf '\377\376\375' | dd of=x.drseed bs=1 seek=$((position + 512 + 1000)) conv=notrunc status=none

expect 1 "$drseed" verify x.drseed --json
[ "$(json 'len(v["bad"]), v["bad"][0]["offset_bytes"]')" = "(1, $offset)" ] || fail "verify named another range"
expect 1 "$drseed" verify x.drseed
says "offset $offset"

head -c 8000000 /dev/zero | tr '\0' '\252' >copy.img
expect 1 "$drseed" apply x.drseed copy.img --report report.json
python3 - "$offset" <<'PY'
import json, sys
offset = int(sys.argv[1])
report = json.load(open('report.json'))
assert [d['offset_bytes'] for d in report['damaged']] == [offset], report
disk, copy = open('disk.img', 'rb').read(), open('copy.img', 'rb').read()
end = offset + report['damaged'][0]['length_bytes']
assert copy[:offset] == disk[:offset] and copy[end:] == disk[end:]
assert set(copy[offset:end]) == {0xaa}
PY
# Without --report it is in the state directory.
expect 1 "$drseed" apply x.drseed copy2.img
ls "$DRSEED_STATE_DIR"/apply-copy2.img-*.damaged.json >/dev/null
# A pipe gets zeros in its place.
status=0
"$drseed" apply x.drseed - >piped.img 2>/dev/null || status=$?
[ "$status" = 1 ] || fail "pipe: status $status"
[ "$(stat -c %s piped.img)" = 8000000 ]
# verify --against a disk that is whole does not read the image's data; against a changed one names the range.
"$drseed" image disk.img good.drseed --segment-size 256KiB >/dev/null
expect 0 "$drseed" verify good.drseed --against disk.img
printf X | dd of=copy.img bs=1 seek=3000000 conv=notrunc status=none
expect 1 "$drseed" verify good.drseed --against copy.img --json
[ "$(json 'sorted(b["offset_bytes"] for b in v["bad"])')" = "$(python3 -c "print(sorted({$offset, 3000000 // 262144 * 262144}))")" ] || fail "$(cat out)"
