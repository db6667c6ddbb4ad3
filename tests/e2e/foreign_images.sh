# Images that drseed did not make: raw or compressed by any of the usual tools, also inside a tar or zip; judged by digests.
source "$(dirname "$0")/lib.sh"

make_disk sdr_disk.img 9000123 11
sha=$(sha256sum <sdr_disk.img | cut -d' ' -f1)
md5=$(md5sum <sdr_disk.img | cut -d' ' -f1)
md5sum sdr_disk.img >sdr_disk.img.md5
sha256sum sdr_disk.img >SHA256SUMS

# The classic procedure's image: dd and gzip.
dd if=sdr_disk.img bs=65536 status=none | gzip >sdr_disk.img.gz
expect 0 "$drseed" apply sdr_disk.img.gz copy.img
same sdr_disk.img copy.img
xz -k -0 sdr_disk.img
bzip2 -k sdr_disk.img
zstd -q -k sdr_disk.img
lz4 -q -k sdr_disk.img sdr_disk.img.lz4
tar -cf in.tar sdr_disk.img
tar -czf in.tar.gz sdr_disk.img
tar -cf gz_in.tar sdr_disk.img.gz
zip -q in.zip sdr_disk.img
zip -q -0 zst_in.zip sdr_disk.img.zst
for image in sdr_disk.img sdr_disk.img.gz sdr_disk.img.xz sdr_disk.img.bz2 sdr_disk.img.zst sdr_disk.img.lz4 in.tar in.tar.gz gz_in.tar in.zip zst_in.zip; do
    rm -f copy.img
    expect 0 "$drseed" apply "$image" copy.img --sha256 "$sha" --verify
    same sdr_disk.img copy.img
    expect 0 "$drseed" verify "$image" --md5 "$md5"
    expect 0 "$drseed" verify "$image" --checksums sdr_disk.img.md5
    expect 0 "$drseed" verify "$image" --checksums SHA256SUMS --md5 "${md5^^}"
    expect 0 "$drseed" verify "$image" --against copy.img
done
"$drseed" apply - piped.img <sdr_disk.img.xz
same sdr_disk.img piped.img

# A digest that does not match: exit 1, after the fact, for apply as well.
wrong=$(printf x | sha256sum | cut -d' ' -f1)
expect 1 "$drseed" verify sdr_disk.img.gz --sha256 "$wrong"
says "$wrong"
expect 1 "$drseed" apply sdr_disk.img.gz copy.img --sha256 "$wrong"
expect 2 "$drseed" verify sdr_disk.img.gz --sha256 1234
expect 2 "$drseed" verify sdr_disk.img
says --sha256

# Damage that the compression's own checks find, without any digest.
for image in sdr_disk.img.gz sdr_disk.img.xz sdr_disk.img.bz2 sdr_disk.img.zst sdr_disk.img.lz4; do
    size=$(stat -c %s $image)
    head -c $((size - 5)) $image >cut
    rm -f copy.img
    expect 1 "$drseed" apply cut copy.img
    python3 - $image <<'PY'
import sys
data = bytearray(open(sys.argv[1], 'rb').read())
data[len(data) // 2] ^= 4
open('flipped', 'wb').write(data)
PY
    rm -f copy.img
    expect 1 "$drseed" apply flipped copy.img
done

# A disk that differs is named by range.
printf X | dd of=piped.img bs=1 seek=5000000 conv=notrunc status=none
expect 1 "$drseed" verify sdr_disk.img.gz --against piped.img
says "offset 4194304"

# Nothing at all is no image: the sender of a pipe died.
expect 1 "$drseed" apply - copy.img
says empty
