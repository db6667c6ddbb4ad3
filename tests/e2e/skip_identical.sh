# An old copy at the target: only what differs is written, and the result is equal.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 20000000 71
"$drseed" image disk.img x.drseed --segment-size 256KiB >/dev/null
cp disk.img copy.img
expect 0 "$drseed" apply x.drseed copy.img --skip-identical --json
[ "$(json 'v["written_bytes"], v["zeroed_bytes"], v["identical_bytes"]')" = "(0, 0, 20000000)" ] || fail "$(cat out)"
printf changed | dd of=copy.img bs=1 seek=12345678 conv=notrunc status=none
expect 0 "$drseed" apply x.drseed copy.img --skip-identical --json
[ "$(json 'v["written_bytes"] + v["zeroed_bytes"]')" -le 67108864 ]
[ "$(json 'v["identical_bytes"]')" -gt 0 ]
same disk.img copy.img
head -c 3000000 disk.img >copy.img
expect 0 sh -c "'$drseed' apply - copy.img --skip-identical --verify <x.drseed"
same disk.img copy.img
gzip -k disk.img
printf changed | dd of=copy.img bs=1 seek=2345678 conv=notrunc status=none
expect 0 "$drseed" apply disk.img.gz copy.img --skip-identical --json
[ "$(json 'v["identical_bytes"]')" -gt 10000000 ]
same disk.img copy.img

# A volume with a file system over its own older copy needs no --overwrite; over another one it does.
truncate -s 16M fs.img
mkfs.ext4 -q -F -d "$here" fs.img
"$drseed" image fs.img fs.drseed >/dev/null
cp fs.img old.img
printf old | dd of=old.img bs=1 seek=9000000 conv=notrunc status=none
expect 4 "$drseed" apply fs.drseed old.img
expect 0 "$drseed" apply fs.drseed old.img --skip-identical
same fs.img old.img
truncate -s 16M another.img
mkfs.ext4 -q -F another.img
expect 4 "$drseed" apply fs.drseed another.img --skip-identical
