# Silent in a pipe, JSON for scripts, limits that hold, results on standard output and messages on standard error.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 12000000 91
for command in "image disk.img x.drseed --overwrite" "verify x.drseed" "verify x.drseed --against disk.img" "apply x.drseed copy.img" "inspect x.drseed" "checksum disk.img"; do
    # shellcheck disable=SC2086
    expect 0 "$drseed" $command
    [ ! -s err ] || fail "'$command' wrote to standard error: $(cat err)"
    # shellcheck disable=SC2086
    expect 0 "$drseed" $command --json
    [ "$(json 'v["exit_status"]')" = 0 ] || fail "'$command' --json"
    [ ! -s err ] || fail "'$command' --json wrote to standard error"
done
expect 3 "$drseed" verify nowhere --json
[ "$(json 'v["exit_status"], "nowhere" in v["error"]')" = "(3, True)" ]

# A rate limit holds: 12 MB at 8 MB/s take 1.5 s, less the burst.
start=$(date +%s%N)
expect 0 "$drseed" image disk.img limited.drseed --limit-rate 8MB --compress none --segment-size 64KiB
elapsed=$((($(date +%s%N) - start) / 1000000))
data=$("$drseed" inspect limited.drseed --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["trailer"]["data_bytes"])')
[ $elapsed -ge $((data / 8000 - 300)) ] || fail "$data bytes took only $elapsed ms"

# The same disk gives the same image whatever the threads, but for its id and time.
for threads in 1 2 7; do
    expect 0 "$drseed" image disk.img "t$threads.drseed" --threads $threads --segment-size 64KiB --json
    json 'v["merkle_root"], v["image_bytes"]' >"t$threads"
    expect 0 "$drseed" verify "t$threads.drseed" --threads $threads
done
same t1 t2
same t1 t7
# Without io_uring too.
DRSEED_IO_ENGINE=threads "$drseed" image disk.img threads.drseed >/dev/null
DRSEED_IO_ENGINE=threads "$drseed" apply threads.drseed threads.img >/dev/null
same disk.img threads.img
# Progress is drawn on a terminal only.
script -qec "$drseed verify x.drseed --limit-rate 4MB" typescript >/dev/null
grep -q ETA typescript || fail "no progress on a terminal"
script -qec "$drseed verify x.drseed --quiet" typescript >/dev/null
! grep -q ETA typescript || fail "progress in spite of --quiet"
