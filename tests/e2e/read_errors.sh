# Sectors of the source that cannot be read: named; with --keep-going they are listed in the image, which stays provable, exit 1.
source "$(dirname "$0")/lib.sh"
[ -e /dev/fuse ] && command -v nbdfuse >/dev/null && command -v nbdkit >/dev/null || skip "needs nbdkit, nbdfuse and FUSE"
[ "$(id -u)" = 0 ] || skip "needs root for FUSE here"

make_disk disk.img 8000000 51
# Reads that touch bytes 3000000..3008191 fail.
cat >bad.sh <<'SH'
case $1 in
get_size) stat -c %s "$DISK" ;;
pread)
    if [ $(($4 + $3)) -gt 3000000 ] && [ "$4" -lt 3008192 ]; then echo "EIO bad sector" >&2; exit 1; fi
    dd if="$DISK" iflag=skip_bytes,count_bytes skip="$4" count="$3" bs=1M status=none ;;
can_write) exit 3 ;;
*) exit 2 ;;
esac
SH
chmod +x bad.sh
mkdir fuse
: >fuse/disk
DISK=$work/disk.img nbdfuse -r fuse/disk [ nbdkit sh ./bad.sh ] >/dev/null 2>&1 &
children+=($!)
mounts+=(fuse/disk)
wait_for_mount() {
    local deadline=$((SECONDS + 20))
    until [ "$(stat -c %s fuse/disk 2>/dev/null)" = 8000000 ]; do
        [ $SECONDS -lt $deadline ] || fail "nbdfuse did not come up"
        read -rt 0.05 <> <(:) || true
    done
}
wait_for_mount

expect 3 "$drseed" image fuse/disk x.drseed --segment-size 256KiB
says "offset 29"
says --keep-going
expect 1 "$drseed" image fuse/disk x.drseed --segment-size 256KiB --keep-going --overwrite --json
read -r begin length <<<"$(json '"%d %d" % (v["unreadable"][0]["offset_bytes"], sum(u["length_bytes"] for u in v["unreadable"]))')"
[ "$begin" -le 3000000 ] && [ $((begin + length)) -ge 3008192 ] && [ "$length" -le 65536 ] || fail "unreadable: $begin + $length"
expect 0 "$drseed" verify x.drseed --json
[ "$(json 'v["unreadable"][0]["offset_bytes"]')" = "$begin" ]
"$drseed" verify - <x.drseed >/dev/null
expect 1 "$drseed" apply x.drseed copy.img --json
[ "$(json 'v["damaged"][0]["offset_bytes"]')" = "$begin" ]
cmp -n "$begin" disk.img copy.img
cmp -i $((begin + length)) disk.img copy.img
cmp -n "$length" -i "$begin:0" copy.img /dev/zero
