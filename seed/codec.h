#pragma once
// Compresses and decompresses single segments. An object belongs to one thread and keeps its working memory between
// calls.

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "seed/image_format.h"

namespace drseed::seed {

struct Compression {
  Codec codec = Codec::kZstd;
  int level = 1;
};

// "zstd", "zstd:9", "gzip:6", "none". kUsage with the range of levels otherwise.
Result<Compression> parse_compression(std::string_view text);

class SegmentCompressor {
 public:
  explicit SegmentCompressor(Compression compression);
  ~SegmentCompressor();
  // One independent frame of `plain` into `stored`, which holds at least stored_bytes_max(plain.size()); returns its
  // length. The same input gives the same bytes.
  std::size_t compress(std::span<const std::uint8_t> plain, std::span<std::uint8_t> stored);

 private:
  struct State;
  const Compression compression_;
  std::unique_ptr<State> state_;
};

class SegmentDecompressor {
 public:
  SegmentDecompressor();
  ~SegmentDecompressor();
  // Fills `plain` exactly. Data that are damaged or give another length are kDiffers; nothing is ever written past
  // `plain`.
  Result<> decompress(Codec codec, std::span<const std::uint8_t> stored, std::span<std::uint8_t> plain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// True if every byte is zero; returns at the first one that is not.
bool all_zero(std::span<const std::uint8_t> bytes);

}  // namespace drseed::seed
