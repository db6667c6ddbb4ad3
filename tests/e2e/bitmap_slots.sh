# Where several slots are in use, a command that changes one wants its name, and leaves the others alone.
source "$(dirname "$0")/lib.sh"

"$drseed" bitmap create b --size 1GiB >/dev/null
"$bin/bitmap_fixture" b slot dr2
"$bin/bitmap_fixture" b slot dr3
expect 2 "$drseed" bitmap set b --range 0+1
says "dr2"
says "--slot"
expect 2 "$drseed" bitmap set b --range 0+1 --slot dr9
says "dr3"
expect 2 "$drseed" bitmap export b
expect 2 "$drseed" bitmap clear b
expect 2 "$drseed" bitmap clear b --slot dr2 --all-slots
expect 0 "$drseed" bitmap set b --range 0+8KiB --slot dr2
expect 0 "$drseed" bitmap set b --range 1MiB+4KiB --slot dr3
expect 0 "$drseed" bitmap show b --json
[ "$(json '[(s["name"], s["kind"], s["dirty_blocks"]) for s in v["slots"]]')" = "[('local', 'local', 0), ('dr2', 'peer', 2), ('dr3', 'peer', 1)]" ] || fail "$(cat out)"
id=$(json 'v["slots"][1]["id"]')
expect 0 "$drseed" bitmap show b --slot "$id" --json
[ "$(json '[s["name"] for s in v["slots"]]')" = "['dr2']" ]

# From slot to slot of one file, however it is spelled.
expect 0 "$drseed" bitmap merge b --from "./b" --from-slot dr2 --slot dr3
expect 0 "$drseed" bitmap export b --slot dr3
[ "$(cat out)" = "0 8192
1048576 4096" ] || fail "merge within a file: $(cat out)"
expect 2 "$drseed" bitmap merge b --from b --from-slot dr2 --slot dr2

expect 0 "$drseed" bitmap clear b --slot dr2
expect 0 "$drseed" bitmap show b --json
[ "$(json '[s["dirty_blocks"] for s in v["slots"]]')" = "[0, 0, 3]" ]
expect 0 "$drseed" bitmap set b --all --all-slots
expect 0 "$drseed" bitmap show b --json
[ "$(json '[s["dirty_percent"] for s in v["slots"]]')" = "[100.0, 100.0, 100.0]" ]
expect 0 "$drseed" bitmap clear b --all-slots
expect 0 "$drseed" bitmap show b --json
[ "$(json '[s["dirty_blocks"] for s in v["slots"]]')" = "[0, 0, 0]" ]

# An invalid slot says so, gives its dirt to no other, and is valid again once cleared.
"$bin/bitmap_fixture" b invalid dr2
expect 0 "$drseed" bitmap show b
says INVALID
expect 4 "$drseed" bitmap merge b --from b --from-slot dr2 --slot dr3
says "missed changes"
expect 0 "$drseed" bitmap export b --slot dr2
says "missed changes"
expect 0 "$drseed" bitmap clear b --slot dr2
expect 0 "$drseed" bitmap show b --json
[ "$(json '[s["invalid"] for s in v["slots"]]')" = "[False, False, False]" ]
