#!/usr/bin/env bash
# What dirty tracking costs: one JSON line a figure, the median of the rounds, beside CRoaring's 64-bit map (where libroaring-dev was
# there when the benchmark was built) and memcpy in the same run. A ratio above 1 says how many times the peer takes as long.
#
#   tests/bench/bitmap.sh [--rounds 5] [--bin DIR]
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
bin=$here/../../build/release/bin
rounds=5
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2 ;;
    --bin) bin=$2 ;;
    *) echo "usage: bitmap.sh [--rounds N] [--bin DIR]" >&2 && exit 2 ;;
    esac
    shift 2
done

# CRoaring walks a full slot value by value, for seconds: once is enough.
{
    "$bin/bitmap_bench" --benchmark_format=json --benchmark_repetitions="$rounds" --benchmark_filter=-roaring_walk_full 2>/dev/null
    "$bin/bitmap_bench" --benchmark_format=json --benchmark_filter=roaring_walk_full 2>/dev/null || true
} | python3 -c '
import json, statistics, sys
text, results, at = sys.stdin.read(), {}, 0
while at < len(text):
    found, at = json.JSONDecoder().raw_decode(text, at)
    at += len(text[at:]) - len(text[at:].lstrip())
    for run in found["benchmarks"]:
        if run.get("run_type") == "aggregate" or "error_occurred" in run: continue
        results.setdefault(run["run_name"].replace("/iterations:%d" % run["iterations"], ""), []).append(run)

def median(name, field):
    runs = results.get(name)
    return None if not runs else statistics.median(run[field] for run in runs)

def line(figure, unit, ours, peer=None, target=None, **more):
    fields = {"bench": "bitmap", "figure": figure, "unit": unit, "value": round(ours, 3)}
    if peer is not None: fields.update(peer=round(peer, 3), ratio=round(peer / ours, 2))
    if target is not None: fields.update(target=target)
    print(json.dumps({**fields, **more}))

def compared(figure, unit, name, field, target=None, **more):
    line(figure, unit, median(name, field), median("roaring_" + name, field), target, **more)

line("empty slot of 16 TiB", "bytes", median("empty_slot", "bytes"), target=1 << 20)
compared("set: 1 million random blocks of 16 TiB, from empty", "ns", "set_fresh/1000000", "ns_per_item", 60)
compared("memory after it", "bytes", "set_fresh/1000000", "bytes")
compared("set: 10 million random blocks of 16 TiB, from empty", "ns", "set_fresh/10000000", "ns_per_item", 60)
compared("memory after it", "bytes", "set_fresh/10000000", "bytes")
compared("set: random blocks of 16 TiB after 16 million others", "ns", "set_warm", "ns_per_item", 60)
compared("set: random blocks within 1 GiB", "ns", "set_local", "ns_per_item")
compared("walk: empty slot of 16 TiB", "us", "walk_empty", "real_time", 1000)
compared("walk: full slot of 16 TiB", "us", "walk_full", "real_time", 1000)
compared("walk: 1 million scattered blocks of 16 TiB, a run", "ns", "walk_scattered", "ns_per_item", 20)
compared("merge of two dense slots of 1 TiB", "ms", "merge_dense", "real_time")
line("merge of two dense slots of 1 TiB / memcpy of the same bytes", "ratio",
     median("merge_dense", "real_time") / median("memcpy_of_the_same_bytes", "real_time"), target=2)
for gib, depth in ((1, 1), (1, 32), (100, 1), (100, 32)):
    name = f"activity_log/GiB:{gib}/depth:{depth}"
    line(f"activity log: 4 KiB random writes over {gib} GiB at queue depth {depth}", "commits per 1000 writes",
         median(name, "commits_per_1000_writes"), target=0 if gib == 1 else None,
         writes_to_regions_not_logged=round(median(name, "new_regions_per_1000_writes"), 3),
         commits_while_warming_up=int(median(name, "commits_warming_up")), ns_a_write=round(median(name, "ns_per_item"), 1))
'
