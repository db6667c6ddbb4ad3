# A file system on a loop device is imaged, verified, applied to another loop device, and both are equal; the same through one pipe.
source "$(dirname "$0")/lib.sh"
need_root

truncate -s 96M source.img
mkfs.ext4 -q -F source.img
make_loop source.img
source=$loop
make_mount "$source" mnt
cp -r /usr/include/linux /usr/share/common-licenses mnt/
sync -f mnt
expect 4 "$drseed" image "$source" x.drseed
says --live
umount mnt

expect 0 "$drseed" image "$source" x.drseed
expect 0 "$drseed" verify x.drseed
expect 0 "$drseed" verify x.drseed --against "$source"
truncate -s 96M target.img
make_loop target.img
target=$loop
expect 0 "$drseed" apply x.drseed "$target" --verify
same "$source" "$target"
make_mount "$target" mnt2 -o ro
diff -r /usr/include/linux mnt2/linux
expect 4 "$drseed" apply x.drseed "$target" --overwrite
says "mounted at"
umount mnt2
fsck.ext4 -fn "$target" >/dev/null

# Through one pipe, on a disk of another file system.
truncate -s 320M xfs.img piped.img
mkfs.xfs -q xfs.img
make_loop xfs.img
source=$loop
make_mount "$source" mnt3
cp -r /usr/include/linux mnt3/
umount mnt3
make_loop piped.img
"$drseed" image "$source" - | "$drseed" apply - "$loop"
same "$source" "$loop"

# Sectors of 4 KiB, and a target that is larger than the image.
truncate -s 100M big.img
make_loop --sector-size 4096 big.img
expect 0 "$drseed" apply x.drseed "$loop"
cmp -n $((96 << 20)) source.img "$loop"
