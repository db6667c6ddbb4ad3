# The commands in RESTORE.md, run as they stand, restore the disk without drseed.
source "$(dirname "$0")/lib.sh"

commands() {
    tar -xOf "$1" RESTORE.md | sed -n '/^```sh$/,/^```$/p' | sed '/^```/d'
}

make_disk disk.img 20000123
for codec in zstd gzip none; do
    for split in "" "--volume-size 3MiB"; do
        rm -rf images restored && mkdir images restored
        # shellcheck disable=SC2086
        expect 0 "$drseed" image disk.img images/disk.drseed --compress $codec --segment-size 256KiB $split
        volumes=$(ls -r "$work"/images/*)
        # shellcheck disable=SC2086
        commands "${volumes##*$'\n'}" >restore.sh
        (cd restored && IMAGE=$volumes TARGET=$work/restored/disk.img sh -e ../restore.sh)
        same disk.img restored/disk.img
        for volume in $volumes; do bsdtar -tf "$volume" >/dev/null; done
    done
done

# Every segment of zeros: nothing to unpack.
truncate -s 5M zeros.img
"$drseed" image zeros.img image.drseed >/dev/null
commands image.drseed >restore.sh
sh -e restore.sh
mv disk.img zeros.restored
same zeros.img zeros.restored

# Onto a device, which must be zeroed where the image has no segments.
if [ "$(id -u)" = 0 ] && losetup -f >/dev/null 2>&1; then
    make_disk disk.img 20000256
    "$drseed" image disk.img image.drseed --overwrite >/dev/null
    head -c 20000256 /dev/urandom >target.img
    make_loop target.img
    commands image.drseed >restore.sh
    IMAGE=image.drseed TARGET=$loop sh -e restore.sh
    same disk.img "$loop"
fi

# A damaged segment stops the commands.
make_disk disk.img 2000000
"$drseed" image disk.img image.drseed --overwrite --compress none >/dev/null
printf X | dd of=image.drseed bs=1 seek=100000 conv=notrunc status=none
commands image.drseed >restore.sh
if sh -e restore.sh >/dev/null 2>&1; then fail "RESTORE.md's commands took a damaged segment"; fi
