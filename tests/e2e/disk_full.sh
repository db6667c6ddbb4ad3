# A full disk while imaging or applying: exit 3, the offset is named, and --resume goes on once there is room.
source "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip "needs root to mount a small tmpfs"

make_disk disk.img 20000000 41
make_mount tmpfs small -t tmpfs -o size=4m
expect 3 "$drseed" image disk.img small/x.drseed --segment-size 256KiB
says "No space left"
says --resume
mount -o remount,size=40m small
expect 0 "$drseed" image disk.img small/x.drseed --resume
expect 0 "$drseed" verify small/x.drseed --against disk.img
cp small/x.drseed .
rm small/x.drseed
mount -o remount,size=4m small
expect 3 "$drseed" apply x.drseed small/copy.img
says "No space left"
mount -o remount,size=40m small
expect 0 "$drseed" apply x.drseed small/copy.img --resume
same disk.img small/copy.img
"$drseed" image disk.img - >/dev/full 2>err && fail "a full pipe was not noticed"
grep -q "No space left" err
