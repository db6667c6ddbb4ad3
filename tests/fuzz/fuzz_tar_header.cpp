// A tar header or a pax comment is either refused or exactly what encoding writes.

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "seed/tar_format.h"

namespace {

using namespace drseed::seed;

void check(const TarBlock& block) {
  const auto member = decode_tar_header(block);
  if (!member) return;
  assert(!member->name.empty() && member->name.size() < 100);
  assert(encode_tar_header(*member) == block);
}

// The same header with a checksum that matches.
TarBlock with_checksum(TarBlock block) {
  constexpr std::size_t kAt = offsetof(UstarHeader, checksum), kLength = sizeof(UstarHeader::checksum);
  std::fill_n(block.begin() + kAt, kLength, std::uint8_t{' '});
  const unsigned sum = std::accumulate(block.begin(), block.end(), 0U);
  char text[16];
  std::snprintf(text, sizeof text, "%06o", sum);
  std::memcpy(block.data() + kAt, text, 7);
  return block;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  TarBlock block{};
  std::copy_n(data, std::min(size, block.size()), block.begin());
  check(block);
  check(with_checksum(block));

  const std::string_view content(reinterpret_cast<const char*>(data), size);
  if (const auto text = decode_pax_comment(content)) assert(encode_pax_comment(*text) == content);
  const auto encoded = encode_pax_comment(content);
  const auto decoded = decode_pax_comment(encoded);
  assert(decoded && *decoded == content);
  return 0;
}
