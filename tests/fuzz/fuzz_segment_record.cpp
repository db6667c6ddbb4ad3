// A segment's record is either refused, or within its limits and exactly what encoding writes.

#include <fmt/format.h>
#include <xxhash.h>

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "seed/segment_framing.h"

namespace {

using namespace drseed::seed;

void check(std::string_view text) {
  const auto record = decode_segment_record(text);
  if (!record) return;
  assert(encode_segment_record(*record) == text);
  assert(record->length_bytes > 0 && record->length_bytes <= kSegmentBytesMax);
  assert(record->stored_bytes > 0 && record->stored_bytes <= stored_bytes_max(record->length_bytes));
  assert(record->zeros_from_bytes <= record->offset_bytes && record->offset_bytes <= kDiskBytesMax);
  assert(record->unreadable.size() <= kUnreadableRangesMax);
  const Range segment{record->offset_bytes, record->length_bytes};
  for (const auto& range : record->unreadable)
    assert(range.length_bytes > 0 && range.offset_bytes >= segment.offset_bytes && range.end() <= segment.end());
  assert(segment_front(*record, Codec::kZstd, 0).size() % kTarBlockBytes == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  // With a checksum that matches, as a hostile author writes it.
  const auto end = text.rfind(" check=");
  const auto body = text.substr(0, end);
  check(fmt::format("{} check={:016x}", body, XXH3_64bits(body.data(), body.size())));
  return 0;
}
