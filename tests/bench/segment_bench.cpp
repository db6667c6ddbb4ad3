// What one processor does with a segment: find zeros, hash, compress, decompress, each beside a baseline of the same
// run.
//
//   build/release/bin/segment_bench FILE --benchmark_format=json     FILE: at least 32 MiB of real data, such as a disk
//   image

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <cstring>
#include <vector>

#include "base/digest.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "seed/codec.h"

namespace {

using drseed::seed::Codec;

constexpr std::size_t kSegmentBytes = drseed::seed::kSegmentBytesDefault;
constexpr std::size_t kSegments = 8;

std::vector<std::uint8_t> data(kSegments* kSegmentBytes);

std::span<const std::uint8_t> segment(std::size_t number) {
  return std::span(data).subspan(number % kSegments * kSegmentBytes, kSegmentBytes);
}

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kSegmentBytes));
}

void copy_baseline(benchmark::State& state) {
  std::vector<std::uint8_t> out(kSegmentBytes);
  std::size_t number = 0;
  for (auto _ : state) {
    std::memcpy(out.data(), segment(number++).data(), kSegmentBytes);
    benchmark::ClobberMemory();
  }
  count_bytes(state);
}
BENCHMARK(copy_baseline);

void find_zeros(benchmark::State& state) {
  const std::vector<std::uint8_t> zeros(kSegmentBytes);
  for (auto _ : state) benchmark::DoNotOptimize(drseed::seed::all_zero(zeros));
  count_bytes(state);
}
BENCHMARK(find_zeros);

void hash_sha256(benchmark::State& state) {
  std::size_t number = 0;
  for (auto _ : state) benchmark::DoNotOptimize(drseed::sha256(segment(number++)));
  count_bytes(state);
}
BENCHMARK(hash_sha256);

void hash_xxh128(benchmark::State& state) {
  std::size_t number = 0;
  for (auto _ : state) benchmark::DoNotOptimize(drseed::xxh128(segment(number++)));
  count_bytes(state);
}
BENCHMARK(hash_xxh128);

void compress_zstd_level_1_baseline(benchmark::State& state) {
  std::vector<std::uint8_t> out(ZSTD_compressBound(kSegmentBytes));
  std::size_t number = 0, stored = 0;
  for (auto _ : state) stored += ZSTD_compress(out.data(), out.size(), segment(number++).data(), kSegmentBytes, 1);
  count_bytes(state);
  state.counters["ratio"] = static_cast<double>(number * kSegmentBytes) / static_cast<double>(stored);
}
BENCHMARK(compress_zstd_level_1_baseline);

void compress(benchmark::State& state) {
  drseed::seed::SegmentCompressor compressor({Codec::kZstd, static_cast<int>(state.range(0))});
  std::vector<std::uint8_t> out(drseed::seed::stored_bytes_max(kSegmentBytes));
  std::size_t number = 0, stored = 0;
  for (auto _ : state) stored += compressor.compress(segment(number++), out);
  count_bytes(state);
  state.counters["ratio"] = static_cast<double>(number * kSegmentBytes) / static_cast<double>(stored);
}
BENCHMARK(compress)->Arg(1)->Arg(3);

void decompress(benchmark::State& state) {
  drseed::seed::SegmentCompressor compressor({Codec::kZstd, 1});
  drseed::seed::SegmentDecompressor decompressor;
  std::vector<std::uint8_t> stored(drseed::seed::stored_bytes_max(kSegmentBytes)), plain(kSegmentBytes);
  stored.resize(compressor.compress(segment(0), stored));
  for (auto _ : state) {
    if (!decompressor.decompress(Codec::kZstd, stored, plain)) state.SkipWithError("damaged");
  }
  count_bytes(state);
}
BENCHMARK(decompress);

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const char* path = argc > 1 ? argv[1] : "";
  const drseed::UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  drseed::Result<> read;
  // Spread over the file: the beginning of a disk is no sample of it.
  const auto step = lseek(fd.get(), 0, SEEK_END) / static_cast<off_t>(kSegments);
  for (std::size_t number = 0; number < kSegments && read; ++number) {
    read = drseed::pread_exactly(fd.get(), std::span(data).subspan(number * kSegmentBytes, kSegmentBytes),
                                 static_cast<std::uint64_t>(step) * number, path);
  }
  if (!read) {
    fmt::print(stderr, "usage: segment_bench FILE_OF_32_MIB [--benchmark_...]: {}\n", read.error().message());
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
}
