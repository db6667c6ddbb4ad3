#!/usr/bin/env bash
# From a fresh Debian machine to a disk imaged, proven, damaged, and applied. Needs no root (except to install missing packages) and no
# loop device: the disks are ordinary files in a temporary folder, which goes at the end. Under 5 minutes.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PATH:/usr/sbin:/sbin

number=0
heading() {
    number=$((number + 1))
    printf '\n=== %d. %s\n\n' "$number" "$*"
}

# run COMMAND...: prints the command, then runs it.
run() {
    printf '$ %s\n' "$*"
    "$@"
}

# run_expecting STATUS COMMAND...: the command must end with that status.
run_expecting() {
    local wanted=$1 status=0
    shift
    run "$@" || status=$?
    [ "$status" = "$wanted" ] || wrong "exit status $status, expected $wanted"
    printf '(exit status %d, as it should be)\n' "$status"
}

wrong() {
    printf '\nNOT AS IT SHOULD BE: %s\n' "$*" >&2
    exit 1
}

heading "Install what is missing, and build drseed"
run packaging/install-packages.sh build
run cmake --preset release >/dev/null
echo "(the build takes a minute or two)"
run ninja -C build/release drseed
drseed_bin=$PWD/build/release/bin
PATH=$drseed_bin:$PATH
run drseed --version

work=$(mktemp -d "${TMPDIR:-/tmp}/drseed-quickstart.XXXXXX")
trap 'rm -rf "$work"' EXIT
export DRSEED_STATE_DIR=$work/state
cd "$work"

heading "Make a demo disk: a file of 256 MiB with an ext4 file system full of real files"
for folder in /usr/include /usr/share/perl /usr/share/doc /usr/share/zoneinfo /etc/ssl; do
    [ -d "$folder" ] && [ "$(du -sm "$folder" 2>/dev/null | cut -f1)" -lt 180 ] && break
done
run truncate -s 256M disk.img
run mkfs.ext4 -q -F -L demo -d "$folder" disk.img

heading "Image it: one pass; what is zero is not stored"
run drseed image disk.img disk.drseed --sha256
echo
run ls -l disk.img disk.drseed

heading "Look at the image: an ordinary tar, one compressed member a segment of the disk"
run drseed inspect disk.drseed
echo
echo '$ tar -tvf disk.drseed | head -n 4'
tar -tvf disk.drseed | sed -n 1,4p

heading "Prove the image: every segment and every byte around them"
run drseed verify disk.drseed

heading "Flip one bit in a copy of the image: verify finds it"
run cp disk.drseed damaged.drseed
# The middle of the largest segment in the image.
read -r size name < <(tar -tvf disk.drseed | awk '$6 ~ /^data\// {print $3, $6}' | sort -n | tail -n 1)
segment_offset=$((16#$(basename "$name" .zst)))
header_at=$(grep -abo -F -- "$name" disk.drseed | cut -d: -f1 | sed -n 1p)
position=$((header_at + 512 + size / 2))
byte=$(od -An -tu1 -j "$position" -N 1 damaged.drseed)
printf "\\x$(printf %02x $((byte ^ 1)))" | dd of=damaged.drseed bs=1 seek="$position" conv=notrunc status=none
echo "(the lowest bit of byte $position is flipped; it belongs to the disk's segment at offset $segment_offset)"
echo
run_expecting 1 drseed verify damaged.drseed | tee verify.log
grep -q "BAD   offset $segment_offset length" verify.log || wrong "verify names another segment"

heading "Apply the damaged image: all segments but that one are written, and the gap is listed"
run_expecting 1 drseed apply damaged.drseed partial.img --report damage.json
echo
run cat damage.json
grep -q "\"offset_bytes\": $segment_offset" damage.json || wrong "the report names another segment"
length=$(sed -n 's/.*"length_bytes": \([0-9]*\).*/\1/p' damage.json)
# The target was a new file: where nothing was written it reads as zeros. Elsewhere it equals the disk.
cmp -s -n "$length" -i "$segment_offset:0" partial.img /dev/zero || wrong "something was written where the image is damaged"
cmp -n "$segment_offset" disk.img partial.img || wrong "the part before the damage differs"
cmp -i $((segment_offset + length)) disk.img partial.img || wrong "the part behind the damage differs"
printf '\n(checked: the target is untouched there, and equal to the disk everywhere else)\n'

heading "Apply the good image to a second disk, read it back, and compare"
run drseed apply disk.drseed copy.img --verify
run cmp disk.img copy.img || wrong "the copy differs from the disk"
echo "(cmp found no difference)"

heading "A target that holds a file system is not overwritten unasked"
run_expecting 4 drseed apply disk.drseed copy.img </dev/null

heading "Repair the partial copy: read it, write only what differs"
run drseed apply disk.drseed partial.img --skip-identical
run cmp disk.img partial.img || wrong "the repaired copy differs from the disk"

heading "The same in one pipe, without an image on any disk (put ssh in the middle to cross a network)"
echo '$ drseed image disk.img - | drseed apply - piped.img'
drseed image disk.img - | drseed apply - piped.img
run cmp disk.img piped.img || wrong "the piped copy differs from the disk"

heading "Done"
echo "drseed is $drseed_bin/drseed. Next: README.md, and the manual pages: man -l docs/man/drseed.1"
