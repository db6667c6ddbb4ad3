# A bitmap of a mirror that is in service, or went down with it, is never cleared; adding dirt to it is allowed.
source "$(dirname "$0")/lib.sh"

# refused COMMAND...: exit 4 with what to do, and the same bytes as before.
refused() {
    cp b before
    expect 4 "$drseed" bitmap clear b "$@"
    says "out of service"
    says "no flag overrides"
    same b before
}
new() {
    rm -f b
    "$drseed" bitmap create b --size 1GiB >/dev/null
    "$drseed" bitmap set b --range 1MiB+4KiB >/dev/null
}

new
"$bin/bitmap_fixture" b in-service
refused
refused --all-slots --json
[ "$(json 'v["exit_status"], "in service" in v["error"]')" = "(4, True)" ]
expect 0 "$drseed" bitmap show b
says "not taken out of service cleanly"
expect 0 "$drseed" bitmap set b --range 2MiB+4KiB
expect 0 "$drseed" bitmap export b
[ "$(cat out)" = "1048576 4096
2097152 4096" ]

new
"$bin/bitmap_fixture" b log 0 7
refused
says "2 regions"
expect 0 "$drseed" bitmap show b --json
[ "$(json 'v["log_regions"], v["slots"][0]["dirty_bytes"]')" = "(2, 8388608)" ] || fail "$(cat out)"
# What is added does not fold the log in: once it is empty, its regions are clean again.
expect 0 "$drseed" bitmap set b --range 512MiB+4KiB --json
[ "$(json 'v["slots"][0]["added_blocks"], v["slots"][0]["dirty_bytes"]')" = "(1, 8392704)" ]
"$bin/bitmap_fixture" b log
expect 0 "$drseed" bitmap export b
[ "$(cat out)" = "1048576 4096
536870912 4096" ] || fail "$(cat out)"

new
"$bin/bitmap_fixture" b sequence 5 9
refused
says "between sequence 5 and 9"

# A lost log: all four copies of its record.
new
python3 - <<'PY'
with open('b', 'r+b') as f:
    for copy in range(4):
        f.seek(8192 + 4 * 65536 + copy * 8192)
        f.write(b'?' * 64)
PY
refused
expect 0 "$drseed" bitmap show b
says "LOST"
expect 0 "$drseed" bitmap show b --json
[ "$(json 'v["log_lost"], v["log_regions"], v["slots"][0]["dirty_percent"]')" = "(True, None, 100.0)" ]
expect 0 "$drseed" bitmap check b --repair
expect 0 "$drseed" bitmap show b --json
[ "$(json 'v["log_lost"], v["slots"][0]["dirty_percent"]')" = "(False, 100.0)" ] || fail "a lost log was repaired as if it had been empty"
