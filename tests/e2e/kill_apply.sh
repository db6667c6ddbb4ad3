# kill -9 of an apply at 20 random moments: --resume completes it, and the disks are equal.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 40000000
"$drseed" image disk.img x.drseed --segment-size 256KiB >/dev/null

for round in $(seq 20); do
    rm -f copy.img
    # The target holds old content in every other round.
    [ $((round % 2)) = 0 ] || head -c 40000000 /dev/urandom >copy.img
    moment=$(python3 -c 'import random; print(random.uniform(0.005, 1.2))')
    timeout -s KILL "$moment" "$drseed" apply x.drseed copy.img --limit-rate 25MB >/dev/null 2>&1 || true
    if [ $((round % 3)) = 0 ]; then
        timeout -s KILL "$moment" "$drseed" apply x.drseed copy.img --limit-rate 25MB --resume >/dev/null 2>&1 || true
    fi
    expect 0 "$drseed" apply x.drseed copy.img --resume
    same disk.img copy.img
    [ -z "$(ls "$DRSEED_STATE_DIR")" ] || fail "a journal stayed behind: $(ls "$DRSEED_STATE_DIR")"
done

# SIGTERM: what was done counts. The journal is of this image and this target only.
rm -f copy.img
timeout -s TERM 0.8 "$drseed" apply x.drseed copy.img --limit-rate 25MB >/dev/null 2>&1 || true
[ -n "$(ls "$DRSEED_STATE_DIR")" ] || fail "no journal after SIGTERM"
make_disk other.img 40000000 9
"$drseed" image other.img other.drseed >/dev/null
expect 4 "$drseed" apply other.drseed copy.img --resume
expect 0 "$drseed" apply x.drseed copy.img --resume --json
[ "$(json 'v["earlier_bytes"] > 0')" = True ] || fail "nothing was kept of the interrupted run"
same disk.img copy.img

# Through a pipe as well, and for a foreign image.
rm -f copy.img
timeout -s TERM 0.8 "$drseed" apply - copy.img --limit-rate 25MB <x.drseed >/dev/null 2>&1 || true
expect 0 sh -c "'$drseed' apply - copy.img --resume <x.drseed"
same disk.img copy.img
gzip -1 -k disk.img
rm -f copy.img
timeout -s TERM 0.8 "$drseed" apply disk.img.gz copy.img --limit-rate 25MB >/dev/null 2>&1 || true
expect 0 "$drseed" apply disk.img.gz copy.img --resume --sha256 "$(sha256sum <disk.img | cut -d' ' -f1)"
same disk.img copy.img
