# drseed bitmap: create, set, show, clear, as text and as JSON; what is dirty is said in blocks, bytes and runs.
source "$(dirname "$0")/lib.sh"

expect 0 "$drseed" bitmap create b --size 1TiB
expect 0 "$drseed" bitmap set b --range 1GiB+64KiB
expect 0 "$drseed" bitmap show b --json
[ "$(json '[(s["name"], s["dirty_blocks"], s["dirty_bytes"]) for s in v["slots"]], v["volume_bytes"], v["block_bytes"], v["in_service"], v["log_regions"]')" = \
    "([('local', 16, 65536)], 1099511627776, 4096, False, 0)" ] || fail "show --json: $(cat out)"
[ "$(stat -c %b b)" -lt 1000 ] || fail "the file is not sparse: $(stat -c %b b) sectors"

# A block that is touched is dirty as a whole; the last one ends with the volume; ranges join.
expect 0 "$drseed" bitmap create odd --size 1000448 --block-size 64KiB --json
[ "$(json 'v["blocks"]')" = 16 ]
expect 0 "$drseed" bitmap set odd --range 65535+2 --range 1000447+1 --json
[ "$(json 'v["slots"][0]["added_blocks"], v["slots"][0]["dirty_bytes"]')" = "(3, $((131072 + 1000448 - 983040)))" ] || fail "odd: $(cat out)"
expect 0 "$drseed" bitmap show odd --runs --json
[ "$(json '[(r["offset_bytes"], r["length_bytes"]) for r in v["slots"][0]["runs"]]')" = "[(0, 131072), (983040, 17408)]" ] || fail "runs: $(cat out)"
expect 0 "$drseed" bitmap show odd --runs
says "run       offset 983040 length 17408"
says "map       |@@             @|"

# Wrong ranges change nothing, and say what the volume is.
cp odd before
for range in 1000448+1 0+1000449 9223372036854775807+9223372036854775807 0+0 4096 -1+5 +5 5+ 1.5+1; do
    expect 2 "$drseed" bitmap set odd "--range=$range"
done
expect 2 "$drseed" bitmap set odd --range 1MiB+1
says 1000448
expect 2 "$drseed" bitmap set odd
expect 2 "$drseed" bitmap set odd --all --range 0+1
same odd before
expect 0 "$drseed" bitmap set odd --all
expect 0 "$drseed" bitmap show odd --json
[ "$(json 'v["slots"][0]["dirty_bytes"], v["slots"][0]["dirty_percent"]')" = "(1000448, 100.0)" ]

# Clear says what it forgets, and moves the base to the data's state.
"$bin/bitmap_fixture" odd sequence 77 77
expect 0 "$drseed" bitmap clear odd --json
[ "$(json 'v["slots"][0]["cleared_bytes"], v["slots"][0]["base_sequence"]')" = "(1000448, 77)" ] || fail "clear: $(cat out)"
expect 0 "$drseed" bitmap show odd --json
[ "$(json 'v["slots"][0]["dirty_blocks"], v["slots"][0]["base_generation"] == v["generation"], v["slots"][0]["base_sequence"]')" = "(0, True, 77)" ]

expect 0 "$drseed" bitmap create full --size 1TiB --all-dirty
expect 0 "$drseed" bitmap show full --json
[ "$(json 'v["slots"][0]["dirty_bytes"] == v["volume_bytes"], v["slots"][0]["invalid"]')" = "(True, False)" ]

# A bitmap is never overwritten; sizes beyond the limits are named.
expect 4 "$drseed" bitmap create full --size 1GiB
says exists
expect 2 "$drseed" bitmap create x --size 1000
expect 2 "$drseed" bitmap create x --size 1GiB --block-size 5KiB
expect 2 "$drseed" bitmap create x --size 1GiB --block-size 8GiB
expect 2 "$drseed" bitmap create x --size 1GiB --log-regions 1
expect 2 "$drseed" bitmap create x --size 1GiB --mirror-id nonsense
expect 2 "$drseed" bitmap create x
[ ! -e x ] || fail "a refused create left a file"
truncate -s 3MiB disk.img
expect 0 "$drseed" bitmap create sized --size-of disk.img --json
[ "$(json 'v["volume_bytes"]')" = 3145728 ]
