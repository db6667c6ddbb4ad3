# merge adds another file's dirt, its activity log included, whatever its block size; never from another volume.
source "$(dirname "$0")/lib.sh"

mirror=00000000-1111-4222-8333-444444444444
"$drseed" bitmap create b --size 1GiB --mirror-id $mirror >/dev/null
"$drseed" bitmap create other --size 1GiB --block-size 64KiB --mirror-id $mirror >/dev/null
"$drseed" bitmap set b --range 4096+4096 >/dev/null
"$drseed" bitmap set other --range 1MiB+1 >/dev/null
"$bin/bitmap_fixture" other log 5 255
cp other before
expect 0 "$drseed" bitmap merge b --from other --json
[ "$(json 'v["slots"][0]["added_blocks"]')" = 2064 ] || fail "$(cat out)"
expect 0 "$drseed" bitmap export b
[ "$(cat out)" = "4096 4096
1048576 65536
20971520 4194304
1069547520 4194304" ] || fail "merged: $(cat out)"
same other before

# Smaller blocks into larger ones: rounded outward.
expect 0 "$drseed" bitmap merge other --from b
expect 0 "$drseed" bitmap export other
[ "$(sed -n 1p out)" = "0 65536" ] || fail "rounded: $(cat out)"

"$drseed" bitmap create stranger --size 1GiB --all-dirty >/dev/null
cp b before
expect 4 "$drseed" bitmap merge b --from stranger
says $mirror
says --any-mirror
"$drseed" bitmap create larger --size 2GiB --mirror-id $mirror --all-dirty >/dev/null
expect 4 "$drseed" bitmap merge b --from larger --any-mirror
says 1073741824
says 2147483648
expect 3 "$drseed" bitmap merge b --from nowhere
same b before
expect 0 "$drseed" bitmap merge b --from stranger --any-mirror
expect 0 "$drseed" bitmap show b --json
[ "$(json 'v["slots"][0]["dirty_percent"]')" = 100.0 ]
