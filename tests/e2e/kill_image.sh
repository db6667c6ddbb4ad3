# kill -9 of an imaging run at 20 random moments: --resume completes it, and the image and the disk are what they should be.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 30000000
wanted_root=$("$drseed" image disk.img whole.drseed --segment-size 256KiB --json --sha256 | python3 -c 'import json,sys; print(json.load(sys.stdin)["merkle_root"])')

for round in $(seq 20); do
    rm -f x.drseed*
    # Every third round is split over volumes, every third has its resumed run killed as well.
    options=(--segment-size 256KiB --sha256 --limit-rate 30MB)
    [ $((round % 3)) != 0 ] || options+=(--volume-size 4MiB)
    moment=$(python3 -c 'import random; print(random.uniform(0.005, 1.0))')
    timeout -s KILL "$moment" "$drseed" image disk.img x.drseed "${options[@]}" >/dev/null 2>&1 || true
    if [ $((round % 3)) = 1 ]; then
        timeout -s KILL "$moment" "$drseed" image disk.img x.drseed "${options[@]}" --resume >/dev/null 2>&1 || true
    fi
    if [ $((round % 4)) = 0 ] && [ -s x.drseed ]; then
        # A power cut may leave rubbish at the end.
        head -c 5000 /dev/urandom >>x.drseed
    fi
    expect 0 "$drseed" image disk.img x.drseed --resume --json --segment-size 256KiB --sha256 "${options[@]:5}"
    image=x.drseed
    [ -e x.drseed ] || image=x.drseed.001
    expect 0 "$drseed" verify "$image" --json
    [ "$(json 'v["merkle_root"]')" = "$wanted_root" ] || fail "killed after $moment s: another Merkle root"
    expect 0 "$drseed" inspect "$image" --json
    [ "$(json 'v["trailer"]["sha256"]')" = "$(sha256sum <disk.img | cut -d' ' -f1)" ] || fail "killed after $moment s: wrong whole-disk digest"
    rm -f copy.img
    expect 0 "$drseed" apply "$image" copy.img
    same disk.img copy.img
done

# An interrupted image is never taken for a whole one.
size=$(stat -c %s whole.drseed)
head -c $((size / 2)) whole.drseed >half.drseed
expect 1 "$drseed" verify half.drseed
expect 1 "$drseed" apply half.drseed half.img
says --partial
[ ! -e half.img ] || fail "a file was made for an image that was refused"

# A disk that changed meanwhile, or another one, is not mixed into the image.
make_disk other.img 30000000 7
expect 4 "$drseed" image other.img half.drseed --resume
truncate -s 29000000 other.img
expect 4 "$drseed" image other.img half.drseed --resume
expect 0 "$drseed" image disk.img half.drseed --resume
cp half.drseed again.drseed
expect 0 "$drseed" image disk.img half.drseed --resume
says "is complete"
same half.drseed again.drseed
# The interrupted run's bytes and the resumed run's together are the same image, to the byte.
same half.drseed whole.drseed

# SIGTERM ends cleanly, and says how to go on.
status=0
timeout -s TERM 0.3 "$drseed" image disk.img term.drseed --limit-rate 10MB 2>err || status=$?
[ "$status" = 124 ] || fail "SIGTERM: status $status"
grep -q -- --resume err || fail "SIGTERM: no word of --resume"
expect 0 "$drseed" image disk.img term.drseed --resume
expect 0 "$drseed" verify term.drseed --against disk.img
