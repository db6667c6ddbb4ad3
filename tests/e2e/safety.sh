# Nothing is overwritten without a check: known content, devices in use, too small ones; each refusal names the override.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 8388608 61
"$drseed" image disk.img x.drseed >/dev/null
expect 4 "$drseed" image disk.img x.drseed
says --overwrite
expect 0 "$drseed" image disk.img x.drseed --yes

# A target with a file system or a partition table, file or not.
truncate -s 8M fs.img
mkfs.ext4 -q -F -L precious fs.img
cp fs.img before.img
expect 4 "$drseed" apply x.drseed fs.img
says precious
says --overwrite
same fs.img before.img
expect 0 "$drseed" apply x.drseed fs.img --overwrite
same fs.img disk.img
truncate -s 8M table.img
echo 'start=2048, type=83' | sfdisk -q table.img >/dev/null
expect 4 "$drseed" apply x.drseed table.img
expect 0 "$drseed" apply x.drseed table.img --yes

# A file that is too short grows, the part of a longer one behind the image stays.
head -c 100 /dev/urandom >short.img
expect 0 "$drseed" apply x.drseed short.img
same short.img disk.img
head -c 9000000 /dev/urandom >long.img
cp long.img before.img
expect 0 "$drseed" apply x.drseed long.img
cmp -n 8388608 long.img disk.img
cmp -i 8388608 long.img before.img
[ "$(stat -c %s long.img)" = 9000000 ]

need_root
truncate -s 4M small.img
make_loop small.img
expect 4 "$drseed" apply x.drseed "$loop"
says 4194304
expect 4 "$drseed" apply x.drseed small.img # it backs a loop device
says "$loop"
drop_loop "$loop"

# Mounted, held by a swap, opened by somebody exclusively.
truncate -s 16M target.img
make_loop target.img
mkswap -q "$loop" 2>/dev/null || mkswap "$loop" >/dev/null
expect 4 "$drseed" apply x.drseed "$loop"
expect 0 "$drseed" apply x.drseed "$loop" --overwrite
mkfs.ext4 -q -F "$loop"
make_mount "$loop" mnt
expect 4 "$drseed" apply x.drseed "$loop" --overwrite
says "mounted at"
says --force-in-use
expect 4 "$drseed" image "$loop" live.drseed
expect 0 "$drseed" image "$loop" live.drseed --live
mount -o remount,ro mnt
expect 0 "$drseed" image "$loop" quiet.drseed
expect 0 "$drseed" verify quiet.drseed --against "$loop"
