# QEMU's dirty bitmap feeds ours: as nbdinfo and as qemu-img print it, the same runs; their allocation maps are refused.
source "$(dirname "$0")/lib.sh"

qemu-img create -q -f qcow2 disk.qcow2 67109376
qemu-img bitmap --add -g 65536 disk.qcow2 b0
qemu-io -f qcow2 -c 'write 1M 128k' -c 'write 10M 4k' -c 'write -z 20M 1M' -c 'write 30M 64k' -c 'write 67108864 512' disk.qcow2 >/dev/null

# export_disk FILE FORMAT [BITMAP]: serves it on ./socket.
export_disk() {
    rm -f socket pid
    qemu-nbd --fork --pid-file=pid -t -r -k "$work/socket" -f "$2" ${3:+-B "$3"} "$1"
    children+=("$(cat pid)")
}
image="driver=nbd,server.type=unix,server.path=$work/socket"
export_disk disk.qcow2 qcow2 b0
nbdinfo --map=qemu:dirty-bitmap:b0 --json "nbd+unix:///?socket=$work/socket" >nbdinfo.json
qemu-img map --output=json --image-opts "$image,x-dirty-bitmap=qemu:dirty-bitmap:b0" >qemu.json
nbdinfo --map --json "nbd+unix:///?socket=$work/socket" >allocated.nbdinfo.json
nbdinfo --map=qemu:dirty-bitmap:b0 "nbd+unix:///?socket=$work/socket" >nbdinfo.text
qemu-img map --output=json --image-opts "$image" >allocated.qemu.json

wanted="1048576 131072
10485760 65536
20971520 1048576
31457280 65536
67108864 512"
for map in nbdinfo.json qemu.json; do
    for block in 4KiB 64KiB; do
        rm -f b
        "$drseed" bitmap create b --size 67109376 --block-size $block >/dev/null
        expect 0 "$drseed" bitmap import b $map
        expect 0 "$drseed" bitmap export b
        [ "$(cat out)" = "$wanted" ] || fail "$map: $(cat out)"
    done
done
# And back: what nbdinfo printed is what we print, but for blanks.
"$drseed" bitmap export b --format map >ours.json
python3 -c 'import json; assert json.load(open("ours.json")) == json.load(open("nbdinfo.json"))' || fail "$(cat ours.json)"

cp b before
for map in allocated.nbdinfo.json allocated.qemu.json; do
    expect 2 "$drseed" bitmap import b $map
    says "does not tell what changed"
done
expect 1 "$drseed" bitmap import b nbdinfo.text
says JSON
same b before

# A full disk's allocation map has neither zeros nor holes: it looks like a clean bitmap, and is not taken for one unasked.
head -c 1048576 /dev/urandom >full.img
export_disk full.img raw
qemu-img map --output=json --image-opts "$image" >allocated.full.json
"$drseed" bitmap create c --size 1MiB >/dev/null
expect 2 "$drseed" bitmap import c allocated.full.json
says "--format qemu-map"
expect 0 "$drseed" bitmap import c allocated.full.json --format qemu-map
