# A bitmap file that a daemon or another command has is left alone: exit 4. The lock of a process that died is none.
source "$(dirname "$0")/lib.sh"

"$drseed" bitmap create b --size 1GiB >/dev/null
"$drseed" bitmap create other --size 1GiB --all-dirty >/dev/null
echo "0 4096" >map
cp b before

# all_refused: each of the commands in $commands ends with status 4. Together, since each waits for two seconds.
all_refused() {
    local pids=() i status
    for i in "${!commands[@]}"; do
        # shellcheck disable=SC2086
        "$drseed" bitmap ${commands[$i]} >"out.$i" 2>&1 9<&- &
        pids+=($!)
    done
    for i in "${!commands[@]}"; do
        status=0
        wait "${pids[$i]}" || status=$?
        [ $status = 4 ] || fail "bitmap ${commands[$i]}: status $status, expected 4: $(cat "out.$i")"
        grep -qF "b: is in use by another drseed" "out.$i" || fail "bitmap ${commands[$i]}: $(cat "out.$i")"
    done
    same b before
}
exec 9<b
flock -x 9
commands=("set b --all" "clear b" "merge b --from other --any-mirror" "merge other --from b --any-mirror" "import b map" "check b" "check b --repair" "show b" "export b")
all_refused
flock -s 9
commands=("set b --all" "clear b" "merge b --from other --any-mirror" "import b map" "check b --repair")
all_refused
expect 0 "$drseed" bitmap show b
expect 0 "$drseed" bitmap check b
expect 0 "$drseed" bitmap export b
expect 0 "$drseed" bitmap merge other --from b --any-mirror
exec 9<&-

# Two at once: the bits of every command that succeeded are there.
pids=()
for i in $(seq 0 7); do
    "$drseed" bitmap set b --range "$((i * 2))MiB+4KiB" >/dev/null 2>&1 &
    pids+=($!)
done
wanted=
for i in $(seq 0 7); do
    status=0
    wait "${pids[$i]}" || status=$?
    case $status in
        0) wanted+="$((i * 2097152)) 4096"$'\n' ;;
        4) ;;
        *) fail "set ended with status $status" ;;
    esac
done
expect 0 "$drseed" bitmap export b
[ -n "$wanted" ] || fail "none of eight could set a bit"
[ "$(cat out)"$'\n' = "$wanted" ] || fail "bits of two commands at once: $(cat out)"

mkfifo hold
exec 8<>hold
flock -F -x b cat hold &
holder=$!
children+=("$holder")
while flock -n b true; do kill -0 "$holder"; done
kill -KILL "$holder"
{ wait "$holder" || true; } 2>/dev/null
expect 0 "$drseed" bitmap clear b
