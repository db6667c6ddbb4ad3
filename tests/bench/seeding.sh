#!/usr/bin/env bash
# What imaging, applying and comparing cost beside the usual tools, on a 4 GiB ext4 volume about 70 % full of real files from /usr.
# Prints one JSON line a figure: the median of the rounds, interleaved, warm cache, and the ratio to each peer in the same run. Every
# contender's output is on stable storage before its clock stops (sync FILE; nothing on tmpfs).
#
#   tests/bench/seeding.sh [--dir DIR] [--rounds 3] [--size-mib 4096] [--bin DIR]
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
bin=$here/../../build/release/bin
dir=${TMPDIR:-/tmp}
rounds=3
size_mib=4096
while [ $# -gt 0 ]; do
    case $1 in
    --dir) dir=$2 ;;
    --rounds) rounds=$2 ;;
    --size-mib) size_mib=$2 ;;
    --bin) bin=$2 ;;
    *) echo "usage: seeding.sh [--dir DIR] [--rounds N] [--size-mib N] [--bin DIR]" >&2 && exit 2 ;;
    esac
    shift 2
done
drseed=$(readlink -f "$bin/drseed")
work=$(mktemp -d "$dir/drseed-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
export DRSEED_STATE_DIR=$work/state
cd "$work"

make_volume() {
    mkdir staging
    python3 - $((size_mib * 70 / 100)) >list <<'PY'
import os, sys
left = int(sys.argv[1]) << 20
for folder, folders, files in os.walk('/usr'):
    folders.sort()
    for name in sorted(files):
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        size = os.path.getsize(path)
        if size > 40 << 20 or size > left:
            continue
        left -= size
        sys.stdout.write(path + '\0')
PY
    tar --null -T list -cf - 2>/dev/null | tar -C staging -xf -
    truncate -s ${size_mib}M disk.img
    mkfs.ext4 -q -F -d staging disk.img
    rm -rf staging list
}

image_drseed() { "$drseed" image disk.img ours.drseed --overwrite --quiet >/dev/null; }
image_classic() { dd if=disk.img of=a.img bs=65536 status=none && md5sum a.img >a.md5 && gzip -f a.img && sync a.img.gz; }
image_tee_zstd() { dd if=disk.img bs=4M status=none | tee >(sha256sum >b.sha) | zstd -q -T0 -1 -c >b.zst && sync b.zst; }
image_qemu() { qemu-img convert -c -O qcow2 -o compression_type=zstd -W -m 4 -f raw disk.img c.qcow2 && sync c.qcow2; }
apply_drseed() { "$drseed" apply ours.drseed target.img --quiet >/dev/null; }
apply_classic() { gunzip -c a.img.gz >d.img && md5sum d.img >d.md5 && dd if=d.img of=target.img bs=65536 status=none && sync target.img; }
apply_tee_zstd() { zstd -q -dc b.zst | tee >(sha256sum >e.sha) | dd of=target.img bs=4M iflag=fullblock status=none && sync target.img; }
against_drseed() { "$drseed" verify ours.drseed --against disk.img --quiet >/dev/null; }
against_openssl() { openssl dgst -sha256 disk.img >/dev/null; }

# Each contender starts without its output, with the disk in the cache and nothing waiting to be written.
prepare() {
    case $1 in
    image_drseed) rm -f ours.drseed ;;
    image_classic) rm -f a.img a.img.gz ;;
    image_tee_zstd) rm -f b.zst ;;
    image_qemu) rm -f c.qcow2 ;;
    apply_*) rm -f target.img d.img ;;
    esac
    sync
    cat disk.img >/dev/null
}

measure() {
    local start end
    prepare "$1"
    start=$EPOCHREALTIME
    "$1"
    end=$EPOCHREALTIME
    echo "$1 $(((${end/./} - ${start/./}) / 1000))" >>times
    case $1 in apply_*) cmp disk.img target.img && rm -f target.img d.img ;; esac
}

make_volume
contenders="image_drseed image_classic image_tee_zstd image_qemu apply_drseed apply_classic apply_tee_zstd against_drseed against_openssl"
for _ in $(seq "$rounds"); do
    for contender in $contenders; do measure "$contender"; done
done

/usr/bin/env python3 - "$drseed" "$(stat -f -c %T .)" "$size_mib" "$rounds" <<'PY'
import json, os, resource, statistics, subprocess, sys
drseed, where, size_mib, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
times = {}
for line in open('times'):
    name, ms = line.split()
    times.setdefault(name, []).append(int(ms) / 1000)
median = {name: statistics.median(values) for name, values in times.items()}
size = size_mib << 20

def line(**fields):
    print(json.dumps({'bench': 'seeding', 'where': where, 'disk_bytes': size, 'rounds': rounds, **fields}))

def ratio(figure, ours, peer, target):
    line(figure=figure, seconds=median[ours], peer_seconds=median[peer], ratio=round(median[peer] / median[ours], 2), target=target)

ratio('image / (dd + md5sum + gzip)', 'image_drseed', 'image_classic', 20)
ratio('image / (dd | tee sha256sum | zstd -T0 -1)', 'image_drseed', 'image_tee_zstd', 3)
ratio('image / qemu-img convert -c zstd -W -m 4', 'image_drseed', 'image_qemu', 1.5)
ratio('apply / (gunzip + md5sum + dd)', 'apply_drseed', 'apply_classic', 8)
ratio('apply / (zstd -dc | tee sha256sum | dd)', 'apply_drseed', 'apply_tee_zstd', 2.5)
ratio('verify --against / openssl dgst -sha256', 'against_drseed', 'against_openssl', 1.8)
ours, gzip, qcow = (os.path.getsize(f) for f in ('ours.drseed', 'a.img.gz', 'c.qcow2'))
line(figure='size / gzip -6', bytes=ours, peer_bytes=gzip, ratio=round(ours / gzip, 4), target=1)
line(figure='size / qcow2', bytes=ours, peer_bytes=qcow, ratio=round(ours / qcow, 4))

def peak(*command):
    out = subprocess.run(['/usr/bin/env', 'python3', '-c', 'import resource,subprocess,sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)', *command], capture_output=True, text=True)
    return int(out.stdout) * 1024

for name, command in (('image', ['image', 'disk.img', 'm.drseed', '--overwrite']), ('verify', ['verify', 'ours.drseed']), ('apply', ['apply', 'ours.drseed', 'm.img']), ('verify --against', ['verify', 'ours.drseed', '--against', 'disk.img'])):
    line(figure='peak memory of ' + name, bytes=peak(drseed, *command), target=256 << 20)

# The machine's limits: each part of the work alone, on all processors at once.
cores = os.cpu_count()
sha = subprocess.run(['openssl', 'speed', '-mr', '-multi', str(cores), '-bytes', '4194304', '-seconds', '2', 'sha256'], capture_output=True, text=True).stdout
rate = float([l for l in sha.splitlines() if l.startswith('+F')][-1].split(':')[-1])
data = json.loads(subprocess.run([drseed, 'inspect', 'ours.drseed', '--json'], capture_output=True, text=True).stdout)['trailer']['data_bytes']
zstd = subprocess.run(['zstd', '-q', '-b1', '-i2', '-B4194304', f'-T{cores}', 'disk.img'], capture_output=True, text=True)
text = (zstd.stdout + zstd.stderr).replace('\r', '\n').strip().splitlines()[-1]
line(figure='limit', sha256_all_cores_bytes_a_second=rate, zstd_level_1_all_cores=' '.join(text.split()), data_bytes=data,
     sha256_alone_seconds=round(data / rate, 2), image_seconds=median['image_drseed'], apply_seconds=median['apply_drseed'])
PY
