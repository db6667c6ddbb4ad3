# drseed checksum agrees with md5sum and sha256sum, in one read, and checks like md5sum -c.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 9000001 81
truncate -s 5M zeros.img
expect 0 "$drseed" checksum disk.img zeros.img
diff out <(sha256sum disk.img zeros.img)
expect 0 "$drseed" checksum --md5 disk.img
diff out <(md5sum disk.img)
"$drseed" checksum --sha256 - <disk.img | diff - <(sha256sum - <disk.img)
"$drseed" checksum --md5 --sha256 --xxh128 disk.img zeros.img >sums
expect 0 "$drseed" checksum -c sums
md5sum disk.img zeros.img >md5s
expect 0 "$drseed" checksum -c md5s --threads 1
grep -v XXH128 sums | grep -E '^[0-9a-f]{64} ' | sha256sum -c --quiet
printf X | dd of=disk.img bs=1 seek=77 conv=notrunc status=none
expect 1 "$drseed" checksum -c sums
says "disk.img: FAILED"
says "zeros.img: OK"
expect 1 "$drseed" checksum -c md5s --json
[ "$(json '[c["good"] for c in v["checks"]]')" = "[False, True]" ]
mv zeros.img gone.img
expect 1 "$drseed" checksum -c md5s
expect 2 "$drseed" checksum
expect 3 "$drseed" checksum nowhere.img
echo nonsense >bad
expect 2 "$drseed" checksum -c bad
expect 0 "$drseed" checksum disk.img --xxh128 --md5 --json
[ "$(json 'v["checksums"][0]["md5"]')" = "$(md5sum <disk.img | cut -d' ' -f1)" ]
