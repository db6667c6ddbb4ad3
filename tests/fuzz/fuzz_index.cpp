// Index entries that are accepted one after the other tile their range and point into the data.

#include <xxhash.h>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "seed/image_format.h"

namespace {

using namespace drseed::seed;

struct Input {
  IndexHeader header;
  drseed::ul64 range_length_bytes;
  drseed::ul64 disk_bytes;
  drseed::ul64 positions_end;
  std::uint8_t segment_log;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input;
  if (size < sizeof input) return 0;
  std::memcpy(&input, data, sizeof input);
  data += sizeof input;
  size -= sizeof input;

  (void)decode_index_header({reinterpret_cast<const std::uint8_t*>(&input.header), sizeof input.header});
  input.header.check = XXH3_64bits(&input.header, offsetof(IndexHeader, check));
  const auto header = decode_index_header({reinterpret_cast<const std::uint8_t*>(&input.header), sizeof input.header});
  if (header) assert(header->entry_bytes == sizeof(IndexEntry));

  // Within what a trailer may say.
  IndexBounds bounds;
  bounds.segment_bytes = std::uint32_t{1} << (16 + input.segment_log % 9);
  bounds.disk_bytes = input.disk_bytes % (kDiskBytesMax + 1);
  bounds.range.offset_bytes = input.header.range_offset_bytes % (bounds.disk_bytes + 1);
  bounds.range.length_bytes = input.range_length_bytes % (bounds.disk_bytes - bounds.range.offset_bytes + 1);
  bounds.positions_end = input.positions_end;
  std::uint64_t offset = bounds.range.offset_bytes;
  for (; size >= sizeof(IndexEntry); data += sizeof(IndexEntry), size -= sizeof(IndexEntry)) {
    IndexEntry entry;
    std::memcpy(&entry, data, sizeof entry);
    if (!check_index_entry(entry, offset, bounds)) return 0;
    assert(entry.offset_bytes == offset && entry.end() > offset && entry.end() <= bounds.range.end());
    if (entry.is_data()) {
      assert(entry.length_bytes <= bounds.segment_bytes);
      assert(entry.stored_bytes <= stored_bytes_max(bounds.segment_bytes));
      assert(entry.position_bytes + entry.stored_bytes <= bounds.positions_end);
    }
    offset = entry.end();
  }
  return 0;
}
