#include "bitmap/dirt.h"

#include <algorithm>
#include <string_view>

namespace drseed::bitmap {

ByteRange bytes_of(const BlockRun& run, const FileInfo& info) {
  const auto offset = run.first * info.block_bytes;
  return {offset, std::min(info.volume_bytes, run.end() * info.block_bytes) - offset};
}

Result<> check_range(const ByteRange& range, const FileInfo& info) {
  if (range.length_bytes == 0)
    return fail(ErrorCode::kUsage, "range at offset {}: its length is 0", range.offset_bytes);
  if (range.offset_bytes > info.volume_bytes || range.length_bytes > info.volume_bytes - range.offset_bytes) {
    return fail(ErrorCode::kUsage, "range at offset {} of {} bytes: ends beyond the volume, which has {} bytes",
                range.offset_bytes, range.length_bytes, info.volume_bytes);
  }
  return {};
}

DirtSum sum_of(const DirtyBitmap& bits, const FileInfo& info) {
  DirtSum sum;
  sum.blocks = bits.dirty_count();
  sum.bytes = sum.blocks * info.block_bytes;
  const auto blocks = info.block_count();
  if (bits.test(blocks - 1)) sum.bytes -= blocks * info.block_bytes - info.volume_bytes;
  sum.percent = 100.0 * static_cast<double>(sum.bytes) / static_cast<double>(info.volume_bytes);
  return sum;
}

std::string density_line(const DirtyBitmap& bits, std::uint64_t columns_max) {
  constexpr std::string_view kInk = ".:-=+*#%";
  const auto blocks = bits.block_count();
  const auto columns = std::min(columns_max, blocks);
  std::string line;
  for (std::uint64_t i = 0; i < columns; ++i) {
    const auto first = i * blocks / columns;
    const auto count = (i + 1) * blocks / columns - first;
    const auto dirty = bits.count({first, count});
    line += dirty == 0 ? ' ' : dirty == count ? '@' : kInk[dirty * kInk.size() / count];
  }
  return line;
}

}  // namespace drseed::bitmap
