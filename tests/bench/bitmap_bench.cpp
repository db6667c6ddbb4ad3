// What dirty tracking costs: a slot's bits beside CRoaring's 64-bit map and memcpy in the same run, and how often the
// activity log must be written. tests/bench/bitmap.sh prints the figures.
//
//   build/release/bin/bitmap_bench --benchmark_format=json

#include <benchmark/benchmark.h>
#ifdef DRSEED_BENCH_ROARING
#include <roaring/roaring64map.hh>
namespace roaring {}
using namespace roaring;  // where newer ones keep their names
#endif

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bitmap/activity_log.h"
#include "bitmap/dirty_bitmap.h"

namespace {

using drseed::bitmap::ActivityLog;
using drseed::bitmap::BlockRun;
using drseed::bitmap::DirtyBitmap;
using drseed::bitmap::kPageBlocks;
using drseed::bitmap::PageWords;
using drseed::bitmap::RegionIndex;

constexpr std::uint64_t kBlocks16TiB = (std::uint64_t{16} << 40) / 4096;
constexpr std::uint64_t kBlocks1TiB = (std::uint64_t{1} << 40) / 4096;
constexpr std::size_t kScattered = 1'000'000;

// SplitMix64: a nanosecond a number, the same for all contenders.
struct Random {
  std::uint64_t state = 1;
  std::uint64_t operator()() {
    auto z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  std::uint64_t block(std::uint64_t blocks) { return operator()() % blocks; }
};

// The time is of one of `count` things.
void per_item(benchmark::State& state, double count) {
  state.counters["ns_per_item"] = benchmark::Counter(static_cast<double>(state.iterations()) * count / 1e9,
                                                     benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void empty_slot(benchmark::State& state) {
  std::size_t bytes = 0;
  for (auto _ : state) {
    DirtyBitmap bits(kBlocks16TiB);
    bytes = bits.memory_bytes();
    benchmark::DoNotOptimize(bits);
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(empty_slot)->Unit(benchmark::kMicrosecond);

// From an empty slot. Of ten million most time goes into the first touch of 546 MB.
void set_fresh(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  std::unique_ptr<DirtyBitmap> bits;
  for (auto _ : state) {
    state.PauseTiming();
    bits = std::make_unique<DirtyBitmap>(kBlocks16TiB);
    Random random;
    state.ResumeTiming();
    for (std::size_t i = 0; i < count; ++i) bits->set(random.block(kBlocks16TiB));
  }
  per_item(state, static_cast<double>(count));
  state.counters["bytes"] = static_cast<double>(bits->memory_bytes());
}
BENCHMARK(set_fresh)->Arg(1'000'000)->Arg(10'000'000)->Iterations(3)->Unit(benchmark::kMillisecond);

DirtyBitmap scattered(std::size_t count) {
  DirtyBitmap bits(kBlocks16TiB);
  Random random;
  for (std::size_t i = 0; i < count; ++i) bits.set(random.block(kBlocks16TiB));
  return bits;
}

// Every page has a leaf already: 512 MiB, each access of which misses the caches.
void set_warm(benchmark::State& state) {
  auto bits = scattered(16 * kScattered);
  Random random{77};
  for (auto _ : state) bits.set(random.block(kBlocks16TiB));
  per_item(state, 1);
}
BENCHMARK(set_warm)->Iterations(10'000'000);

// Within 1 GiB, as most writes are.
void set_local(benchmark::State& state) {
  DirtyBitmap bits(kBlocks16TiB);
  Random random{77};
  for (auto _ : state) bits.set(random.block(1 << 18));
  per_item(state, 1);
}
BENCHMARK(set_local);

void walk(benchmark::State& state, const DirtyBitmap& bits) {
  std::uint64_t runs = 0;
  for (auto _ : state) {
    runs = 0;
    for (auto run = bits.next_dirty(0); run; run = bits.next_dirty(run->end())) ++runs;
    benchmark::DoNotOptimize(runs);
  }
  state.counters["runs"] = static_cast<double>(runs);
  if (runs > 1) per_item(state, static_cast<double>(runs));
}

void walk_empty(benchmark::State& state) {
  walk(state, DirtyBitmap(kBlocks16TiB));
}
BENCHMARK(walk_empty)->Unit(benchmark::kMicrosecond);

void walk_full(benchmark::State& state) {
  DirtyBitmap bits(kBlocks16TiB);
  bits.set_all();
  walk(state, bits);
}
BENCHMARK(walk_full)->Unit(benchmark::kMicrosecond);

void walk_scattered(benchmark::State& state) {
  walk(state, scattered(kScattered));
}
BENCHMARK(walk_scattered)->Unit(benchmark::kMillisecond);

// Every other bit or so, at random: no page is uniform.
DirtyBitmap dense_1_tib(std::uint64_t seed) {
  DirtyBitmap bits(kBlocks1TiB);
  Random random{seed};
  PageWords words;
  for (std::uint64_t page = 0; page < bits.page_count(); ++page) {
    for (auto& word : words) word = random();
    bits.load_page(page, words);
  }
  return bits;
}

void merge_dense(benchmark::State& state) {
  auto to = dense_1_tib(1);
  const auto from = dense_1_tib(2);
  for (auto _ : state) {
    to.merge(from);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(merge_dense)->Unit(benchmark::kMillisecond);

void memcpy_of_the_same_bytes(benchmark::State& state) {
  std::vector<std::uint8_t> from(kBlocks1TiB / 8, 1), to(from.size(), 2);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(memcpy_of_the_same_bytes)->Unit(benchmark::kMillisecond);

#ifdef DRSEED_BENCH_ROARING
void roaring_set_fresh(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  std::unique_ptr<Roaring64Map> bits;
  for (auto _ : state) {
    state.PauseTiming();
    bits = std::make_unique<Roaring64Map>();
    Random random;
    state.ResumeTiming();
    for (std::size_t i = 0; i < count; ++i) bits->add(random.block(kBlocks16TiB));
  }
  per_item(state, static_cast<double>(count));
  state.counters["bytes"] = static_cast<double>(bits->getSizeInBytes());
}
BENCHMARK(roaring_set_fresh)->Arg(1'000'000)->Arg(10'000'000)->Iterations(3)->Unit(benchmark::kMillisecond);

Roaring64Map roaring_scattered(std::size_t count) {
  Roaring64Map bits;
  Random random;
  for (std::size_t i = 0; i < count; ++i) bits.add(random.block(kBlocks16TiB));
  return bits;
}

void roaring_set_warm(benchmark::State& state) {
  auto bits = roaring_scattered(16 * kScattered);
  Random random{77};
  for (auto _ : state) bits.add(random.block(kBlocks16TiB));
  per_item(state, 1);
}
BENCHMARK(roaring_set_warm)->Iterations(10'000'000);

void roaring_set_local(benchmark::State& state) {
  Roaring64Map bits;
  Random random{77};
  for (auto _ : state) bits.add(random.block(1 << 18));
  per_item(state, 1);
}
BENCHMARK(roaring_set_local);

// It walks values, not runs; this is its fastest way.
void roaring_walk(benchmark::State& state, const Roaring64Map& bits) {
  std::uint64_t values = 0;
  for (auto _ : state) {
    values = 0;
    bits.iterate([](std::uint64_t, void* count) { return ++*static_cast<std::uint64_t*>(count), true; }, &values);
    benchmark::DoNotOptimize(values);
  }
  if (values > 0) per_item(state, static_cast<double>(values));
}

void roaring_walk_empty(benchmark::State& state) {
  roaring_walk(state, {});
}
BENCHMARK(roaring_walk_empty)->Unit(benchmark::kMicrosecond);

void roaring_walk_full(benchmark::State& state) {
  Roaring bits;  // 16 TiB of blocks are 2^32 values
  bits.addRange(0, kBlocks16TiB);
  bits.runOptimize();
  roaring_walk(state, Roaring64Map(bits));
}
BENCHMARK(roaring_walk_full)->Iterations(1)->Unit(benchmark::kMicrosecond);

void roaring_walk_scattered(benchmark::State& state) {
  roaring_walk(state, roaring_scattered(kScattered));
}
BENCHMARK(roaring_walk_scattered)->Unit(benchmark::kMillisecond);

Roaring64Map roaring_dense_1_tib(std::uint64_t seed) {
  Roaring64Map bits;
  Random random{seed};
  for (std::uint64_t word = 0; word < kBlocks1TiB / 64; ++word) {
    for (auto rest = random(); rest != 0; rest &= rest - 1) {
      bits.add(word * 64 + static_cast<std::uint64_t>(std::countr_zero(rest)));
    }
  }
  return bits;
}

void roaring_merge_dense(benchmark::State& state) {
  auto to = roaring_dense_1_tib(1);
  const auto from = roaring_dense_1_tib(2);
  for (auto _ : state) {
    to |= from;
    benchmark::ClobberMemory();
  }
}
BENCHMARK(roaring_merge_dense)->Unit(benchmark::kMillisecond);
#endif

// Random writes of 4 KiB at a queue depth, over a part of the volume. In each round every running write ends, and the
// record and the cleaning of the round before become durable.
class Writer {
 public:
  Writer(std::uint64_t span_bytes, std::size_t depth)
      : regions_(span_bytes / drseed::bitmap::kRegionBytesDefault), depth_(depth) {}

  void round() {
    for (const auto region : running_) log_.end(std::span(&region, 1));
    writes_ += running_.size();
    running_.clear();
    if (commit_) {
      std::vector<ActivityLog::Ticket> started;
      log_.committed(std::exchange(commit_, std::nullopt)->number, started);
      for (const auto ticket : started) running_.push_back(static_cast<RegionIndex>(ticket));
    }
    if (cleaning_) log_.cleaned(*std::exchange(cleaning_, std::nullopt));
    while (running_.size() + log_.waiting_count() < depth_) {
      const auto region = static_cast<RegionIndex>(random_.block(regions_));
      misses_ += !log_.logged(region);
      if (log_.begin(region, std::span(&region, 1))) running_.push_back(region);
    }
    if (!commit_) commit_ = log_.next_commit();
    if (!cleaning_) cleaning_ = log_.next_cleaning();
  }

  std::uint64_t writes() const { return writes_; }
  std::uint64_t misses() const { return misses_; }
  std::uint64_t commits() const { return log_.commit_count(); }

 private:
  const std::uint64_t regions_;
  const std::size_t depth_;
  ActivityLog log_;
  Random random_;
  std::vector<RegionIndex> running_;
  std::optional<ActivityLog::Commit> commit_;
  std::optional<ActivityLog::Cleaning> cleaning_;
  std::uint64_t writes_ = 0;
  std::uint64_t misses_ = 0;
};

constexpr std::uint64_t kWritesWarm = 50'000;
constexpr std::uint64_t kWritesMeasured = 200'000;

void activity_log(benchmark::State& state) {
  for (auto _ : state) {
    Writer writer(static_cast<std::uint64_t>(state.range(0)) << 30, static_cast<std::size_t>(state.range(1)));
    while (writer.writes() < kWritesWarm) writer.round();
    const auto commits_warm = writer.commits(), misses_warm = writer.misses(), writes_warm = writer.writes();
    while (writer.writes() < writes_warm + kWritesMeasured) writer.round();
    const auto thousands = static_cast<double>(writer.writes() - writes_warm) / 1000;
    state.counters["commits_warming_up"] = static_cast<double>(commits_warm);
    state.counters["commits_per_1000_writes"] = static_cast<double>(writer.commits() - commits_warm) / thousands;
    state.counters["new_regions_per_1000_writes"] = static_cast<double>(writer.misses() - misses_warm) / thousands;
  }
  per_item(state, kWritesWarm + kWritesMeasured);
}
BENCHMARK(activity_log)
    ->ArgNames({"GiB", "depth"})
    ->Args({1, 32})
    ->Args({1, 1})
    ->Args({100, 32})
    ->Args({100, 1})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
