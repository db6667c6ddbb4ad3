# Images through pipes and of disks of awkward sizes, without root: equal disks.
source "$(dirname "$0")/lib.sh"

for size in 1 511 512 65535 65536 65537 1000000 8388608 25000001; do
    make_disk disk.img $size $size
    rm -f copy.img
    "$drseed" image disk.img - --segment-size 64KiB | "$drseed" apply - copy.img
    same disk.img copy.img
    "$drseed" image disk.img - --compress gzip | "$drseed" apply - - | cmp - disk.img
    expect 0 "$drseed" image disk.img x.drseed --compress none --overwrite --sha256 --md5 --note "size $size"
    "$drseed" verify - <x.drseed >/dev/null
    expect 0 "$drseed" verify x.drseed --against copy.img
    expect 0 "$drseed" inspect x.drseed --json
    [ "$(json 'v["trailer"]["sha256"]')" = "$(sha256sum <disk.img | cut -d' ' -f1)" ]
    [ "$(json 'v["trailer"]["md5"]')" = "$(md5sum <disk.img | cut -d' ' -f1)" ]
    [ "$(json 'v["header"]["note"]')" = "size $size" ]
done

# A named pipe is a pipe too, not a foreign image.
"$drseed" apply <("$drseed" image disk.img -) fifo.img
same disk.img fifo.img
"$drseed" verify <("$drseed" image disk.img -) | grep -c ^OK >counted

# A disk of zeros has an image without segments; an empty one has none.
truncate -s 10M zeros.img
"$drseed" image zeros.img zeros.drseed >/dev/null
expect 0 "$drseed" verify zeros.drseed
expect 0 "$drseed" apply zeros.drseed zeros.copy
same zeros.img zeros.copy
: >empty.img
expect 2 "$drseed" image empty.img empty.drseed

# Compression at every level gives the same disk, and no digest depends on it.
make_disk disk.img 3000000
roots=$(for codec in none gzip gzip:9 zstd zstd:3 zstd:19; do
    "$drseed" image disk.img "$codec.drseed" --compress "$codec" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["merkle_root"])'
done | sort -u | wc -l)
[ "$roots" = 1 ] || fail "the Merkle root depends on the compression"
for codec in none gzip gzip:9 zstd zstd:3 zstd:19; do
    rm -f copy.img
    expect 0 "$drseed" apply "$codec.drseed" copy.img
    same disk.img copy.img
done
