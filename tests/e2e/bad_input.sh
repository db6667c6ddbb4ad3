# Images that were cut, re-packed or forged end in a clear error, and nothing is written past the bad place.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 8000000 31
"$drseed" image disk.img x.drseed --segment-size 256KiB >/dev/null

# refused FILE: verify and apply (as it is, in part, through a pipe) do not take it, and the target holds only disk or old bytes.
refused() {
    local status
    expect 1 "$drseed" verify "$1"
    for how in "" --partial; do
        head -c 8000000 /dev/zero | tr '\0' '\252' >copy.img
        # shellcheck disable=SC2086
        expect 1 "$drseed" apply "$1" copy.img $how
        check_target
    done
    head -c 8000000 /dev/zero | tr '\0' '\252' >copy.img
    status=0
    "$drseed" apply - copy.img <"$1" >out 2>err || status=$?
    [ "$status" = 1 ] || { cat out err; fail "$1 through a pipe: status $status"; }
    check_target
}

check_target() {
    python3 - <<'PY'
disk, copy = open('disk.img', 'rb').read(), open('copy.img', 'rb').read()
assert len(disk) == len(copy), 'size changed'
for at in range(0, len(disk), 65536):
    piece = copy[at:at + 65536]
    assert piece == disk[at:at + 65536] or set(piece) == {0xaa}, f'foreign bytes at {at}'
PY
}

size=$(stat -c %s x.drseed)
for keep in 512 2000 $((size / 3)) $((size - 512)) $((size - 1)); do
    head -c "$keep" x.drseed >cut.drseed
    refused cut.drseed
done
(cat x.drseed; echo more) >longer.drseed
expect 1 "$drseed" verify longer.drseed

# Members left out, doubled, renamed, in another order; a re-packed tar.
python3 - <<'PY'
image = open('x.drseed', 'rb').read()
members, at = [], 0
while image[at]:
    size = int(image[at + 124:at + 135], 8)
    end = at + 512 + (size + 511) // 512 * 512
    if image[at + 156:at + 157] == b'x':  # a record belongs to the member behind it
        size = int(image[end + 124:end + 135], 8)
        end = end + 512 + (size + 511) // 512 * 512
    members.append(image[at:end])
    at = end
tail = image[at:]
data = [i for i, m in enumerate(members) if m[:10] == b'PaxHeaders']
def write(name, parts):
    open(name, 'wb').write(b''.join(parts) + tail)
a, b, c = data[1], data[2], data[-1]
write('missing.drseed', members[:b] + members[b + 1:])
write('last_missing.drseed', members[:c] + members[c + 1:])
write('first_missing.drseed', members[:data[0]] + members[data[0] + 1:])
write('doubled.drseed', members[:b] + [members[b]] + members[b:])
swapped = list(members)
swapped[a], swapped[b] = swapped[b], swapped[a]
write('reordered.drseed', swapped)
write('no_trailer.drseed', members[:-1])
write('no_index.drseed', [m for m in members if not m.startswith(b'drseed/index')])
renamed = bytearray(members[b])
place = renamed.index(b'data/')
renamed[place:place + 21] = b'data/00000000000000ff'
write('renamed.drseed', members[:b] + [bytes(renamed)] + members[b + 1:])
PY
for image in missing last_missing first_missing doubled reordered no_trailer no_index renamed; do refused $image.drseed; done
mkdir unpacked && tar -xf x.drseed -C unpacked && tar -cf repacked.drseed -C unpacked drseed/header.json data SHA256SUMS drseed/index RESTORE.md drseed/trailer.json
refused repacked.drseed

# An unknown version is named, and not guessed at.
python3 - <<'PY'
import hashlib, re
image = bytearray(open('x.drseed', 'rb').read())
size = int(image[124:135], 8)
header = image[512:512 + size].replace(b'"version": 1', b'"version": 9')
image[512:512 + size] = header
open('version.drseed', 'wb').write(image)
PY
refused version.drseed

# A tar with names that lead elsewhere, and no image: nothing is ever written by name.
python3 - <<'PY'
import io, tarfile
with tarfile.open('evil.tar', 'w') as tar:
    info = tarfile.TarInfo('../../evil')
    info.size = 100000
    tar.addfile(info, io.BytesIO(b'e' * 100000))
PY
expect 0 "$drseed" apply evil.tar evil.img
[ ! -e ../evil ] && [ ! -e ../../evil ] || fail "a member's name was used"

# Segments of a disk, an image larger than the device, a full disk, no image at all.
expect 3 "$drseed" verify nowhere.drseed
expect 3 "$drseed" apply nowhere.drseed copy.img
expect 3 "$drseed" apply x.drseed /dev/nowhere
expect 2 "$drseed" image disk.img disk.img
expect 2 "$drseed" apply x.drseed x.drseed
expect 3 "$drseed" image nowhere.img y.drseed
[ ! -e y.drseed ]
expect 2 "$drseed" apply x.drseed .
expect 2 "$drseed" frobnicate
expect 2 "$drseed" image disk.img y.drseed --compress lzma
expect 2 "$drseed" image disk.img y.drseed --segment-size 100000
# A short raw copy against the image.
head -c 5000000 disk.img >short.img
expect 1 "$drseed" verify x.drseed --against short.img
says 5000000
