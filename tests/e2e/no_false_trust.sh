# What an earlier run, a name or a claim says is checked before it is believed.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 12000000 101
"$drseed" image disk.img x.drseed --segment-size 256KiB >/dev/null

# A journal says that half is done, but the target was replaced, cut or written to since.
for change in "rm copy.img" ": >copy.img" "dd if=/dev/urandom of=copy.img bs=1M count=3 conv=notrunc status=none"; do
    rm -rf copy.img "$DRSEED_STATE_DIR"
    timeout -s TERM 1 "$drseed" apply x.drseed copy.img --limit-rate 6MB >/dev/null 2>&1 || true
    sh -c "$change"
    status=0
    "$drseed" apply x.drseed copy.img --resume >out 2>err || status=$?
    [ "$status" = 4 ] || { [ "$status" = 0 ] && same disk.img copy.img; } || { cat err; fail "'$change': status $status"; }
done

# Another stream with the same beginning, resumed: the target must be the second stream, whole.
cp disk.img tuesday.img
printf tuesday | dd of=tuesday.img bs=1 seek=1000000 conv=notrunc status=none
rm -rf copy.img "$DRSEED_STATE_DIR"
timeout -s TERM 1 "$drseed" apply - copy.img --limit-rate 6MB <disk.img >/dev/null 2>&1 || true
"$drseed" apply - copy.img --resume --sha256 "$(sha256sum <tuesday.img | cut -d' ' -f1)" <tuesday.img >/dev/null
same tuesday.img copy.img

# An image whose beginning is lost is still no raw disk.
cp x.drseed lost.drseed
dd if=/dev/zero of=lost.drseed bs=4096 count=1 conv=notrunc status=none
rm -f raw.img
expect 1 "$drseed" apply lost.drseed raw.img
[ ! -e raw.img ] || fail "a tar was written as a disk"

# An image is never the target by accident, nor a volume of the image that is applied.
"$drseed" image disk.img y.drseed --segment-size 256KiB --volume-size 1MiB >/dev/null
mkdir keep
cp y.drseed.002 keep/before
expect 4 "$drseed" apply x.drseed y.drseed.002
says --overwrite
expect 2 "$drseed" apply y.drseed.001 y.drseed.002 --overwrite
same keep/before y.drseed.002

# The source is never taken for a volume; volumes of another image, or other files, are not removed.
cp disk.img vm.002
expect 2 "$drseed" image vm.002 vm --volume-size 1MiB --segment-size 256KiB
same disk.img vm.002
cp disk.img lone.001
expect 0 "$drseed" image disk.img lone --overwrite
same disk.img lone.001
mkdir courier
mv y.drseed.001 courier/
expect 4 "$drseed" image disk.img y.drseed --resume --volume-size 1MiB
expect 4 "$drseed" image disk.img y.drseed --volume-size 1MiB
same keep/before y.drseed.002

# --resume of a whole image: of this disk it is done, of another it is refused.
expect 0 "$drseed" image disk.img x.drseed --resume
make_disk other.img 12000000 102
expect 4 "$drseed" image other.img x.drseed --resume
truncate -s 13000000 other.img
expect 4 "$drseed" image other.img x.drseed --resume
expect 2 "$drseed" image disk.img x.drseed --resume --md5
says md5

# Nothing compared is not equal; a file of another length is another disk.
: >empty.img
expect 1 "$drseed" verify empty.img --against disk.img
head -c 1000 disk.img >short.img
expect 1 "$drseed" verify short.img --against disk.img

# A whole-disk digest is computed, not looked up: a claim in the trailer that is not true is found.
expect 0 "$drseed" verify x.drseed --sha256 "$(sha256sum <disk.img | cut -d' ' -f1)" --md5 "$(md5sum <disk.img | cut -d' ' -f1)"
expect 1 "$drseed" verify x.drseed --sha256 "$(sha256sum <tuesday.img | cut -d' ' -f1)"

# A good copy of a volume beside a damaged one is found.
mkdir good
cp y.drseed.002 good/
mv courier/y.drseed.001 .
head -c 300000 good/y.drseed.002 >y.drseed.002
expect 1 "$drseed" verify y.drseed
expect 0 "$drseed" verify y.drseed --volumes good

# A damaged copy of the image: what is missing comes from a good copy with --resume, the rest is not written again.
cp x.drseed bad.drseed
printf '\0\1\2\3' | dd of=bad.drseed bs=1 seek=$(($(stat -c %s x.drseed) / 2)) conv=notrunc status=none
rm -rf copy.img "$DRSEED_STATE_DIR"
expect 1 "$drseed" apply bad.drseed copy.img
ls "$DRSEED_STATE_DIR"/*.damaged.json >/dev/null
expect 0 "$drseed" apply x.drseed copy.img --resume --json
[ "$(json 'v["earlier_bytes"] > 10000000')" = True ] || fail "written again: $(cat out)"
same disk.img copy.img
[ -z "$(ls "$DRSEED_STATE_DIR")" ] || fail "left behind: $(ls "$DRSEED_STATE_DIR")"

# A report does not replace what is no ordinary file; a closed or full standard output is an error, not a crash.
mkfifo pipe
cat pipe >report &
expect 1 "$drseed" apply bad.drseed copy2.img --report pipe
wait $!
[ -p pipe ] && grep -q damaged report
for command in "inspect x.drseed --segments" "checksum disk.img" "verify x.drseed --json"; do
    # shellcheck disable=SC2086
    expect 3 sh -c "'$drseed' $command >/dev/full"
done

# A source that is cut while it is read gives no image.
python3 - "$drseed" <<'PY'
import os, subprocess, sys
with open('sparse.img', 'wb') as disk:
    disk.write(os.urandom(2 << 20)); disk.seek(8 << 20); disk.write(os.urandom(5 << 20))
process = subprocess.Popen([sys.argv[1], 'image', 'sparse.img', 'cut.drseed', '--segment-size', '64KiB', '--limit-rate', '2MB'], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
while not os.path.exists('cut.drseed') or os.path.getsize('cut.drseed') < 100000:
    assert process.poll() is None, 'ended early'
os.truncate('sparse.img', 5 << 20)
sys.exit(0 if process.wait() == 3 else f'status {process.returncode}')
PY

# Two at once: the second is refused while the first lives.
mkfifo slow
"$drseed" apply - busy.img <slow &
exec 7>slow
head -c 600000 x.drseed >&7
deadline=$((SECONDS + 20))
until [ -e busy.img ] && ls "$DRSEED_STATE_DIR"/apply-busy.img-*.journal >/dev/null 2>&1; do [ $SECONDS -lt $deadline ] || fail "no first apply"; done
expect 4 "$drseed" apply x.drseed busy.img
says lock
tail -c +600001 x.drseed >&7
exec 7>&-
wait $!
same disk.img busy.img
