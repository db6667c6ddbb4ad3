# One flipped bit at 200 random places of an image: verify finds it, and apply never writes what it damaged.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 6000000 3
"$drseed" image disk.img x.drseed --segment-size 64KiB --sha256 >/dev/null
expect 0 "$drseed" verify x.drseed
python3 - "$drseed" <<'PY'
import os, random, subprocess, sys
drseed = sys.argv[1]
rng = random.Random()
image = bytearray(open('x.drseed', 'rb').read())
disk = open('disk.img', 'rb').read()
old = b'\xaa' * len(disk)
block = 65536

def run(*args, **kw):
    return subprocess.run([drseed, *args], capture_output=True, **kw).returncode

places = [rng.randrange(len(image) * 8) for _ in range(188)]
# The places where a flip is easiest to overlook: the first header, the last bytes, padding.
places += [0, 8 * 100, 8 * 257, 8 * 511, 8 * 512, 8 * (len(image) - 1), 8 * (len(image) - 512), 8 * (len(image) - 1024)]
places += [8 * (len(image) - 1025), 8 * (len(image) - 5632), 8 * (len(image) - 5000), 8 * 1024]
for number, place in enumerate(places):
    byte, bit = divmod(place, 8)
    image[byte] ^= 1 << bit
    open('bad.drseed', 'wb').write(image)
    image[byte] ^= 1 << bit
    where = f'bit {bit} of byte {byte} of {len(image)}'
    if run('verify', 'bad.drseed') != 1:
        sys.exit(f'verify did not find {where}')
    with open('bad.drseed', 'rb') as pipe:
        if number % 4 == 0 and run('verify', '-', stdin=pipe) != 1:
            sys.exit(f'verify through a pipe did not find {where}')
    open('copy.img', 'wb').write(old)
    mode = number % 3
    if mode == 0:
        status = run('apply', 'bad.drseed', 'copy.img')
    elif mode == 1:
        status = run('apply', 'bad.drseed', 'copy.img', '--partial')
    else:
        with open('bad.drseed', 'rb') as pipe:
            status = run('apply', '-', 'copy.img', stdin=pipe)
    if status not in (0, 1, 2):
        sys.exit(f'apply: status {status} for {where}')
    copy = open('copy.img', 'rb').read()
    if status == 0 and copy != disk:
        sys.exit(f'apply said done, but the disk differs: {where}')
    if len(copy) != len(disk):
        sys.exit(f'apply changed the size: {where}')
    for at in range(0, len(disk), block):
        if copy[at:at + block] not in (disk[at:at + block], old[at:at + block]):
            sys.exit(f'apply wrote something else at offset {at}: {where}')
PY
