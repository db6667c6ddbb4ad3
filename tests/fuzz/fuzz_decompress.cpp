// Any bytes decompress to exactly the expected length or are refused, and nothing is written past it.

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "seed/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace drseed::seed;
  if (size < 4) return 0;
  const auto codec = static_cast<Codec>(data[0] % 3);
  const std::size_t plain_bytes = 1 + (data[1] | data[2] << 8 | (data[3] & 1) << 16);
  // Exact allocations, so that the sanitizer sees a byte too many.
  const std::vector<std::uint8_t> stored(data + 4, data + size);
  std::vector<std::uint8_t> plain(plain_bytes);
  static SegmentDecompressor decompressor;
  const bool first = decompressor.decompress(codec, stored, plain).has_value();
  std::vector<std::uint8_t> again(plain_bytes);
  const bool second = SegmentDecompressor().decompress(codec, stored, again).has_value();
  assert(first == second);  // nothing stays behind of an earlier call
  if (first) assert(plain == again);
  return 0;
}
