#pragma once
// A slot's dirt as people and maps tell it: byte ranges that end with the volume, sums, a line of characters. Pure.

#include <cstdint>
#include <string>

#include "bitmap/bitmap_format.h"

namespace drseed::bitmap {

struct ByteRange {
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
  std::uint64_t end() const { return offset_bytes + length_bytes; }
  bool operator==(const ByteRange&) const = default;
};

// The volume's last block may be short. Precondition: the run lies in the volume.
ByteRange bytes_of(const BlockRun& run, const FileInfo& info);

// kUsage, naming both, where a range is empty or ends beyond the volume.
Result<> check_range(const ByteRange& range, const FileInfo& info);

struct DirtSum {
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  double percent = 0;  // of the volume's bytes
};
DirtSum sum_of(const DirtyBitmap& bits, const FileInfo& info);

// The volume from left to right in at most `columns_max` characters: ' ' clean, '.' a little, '@' all dirty.
std::string density_line(const DirtyBitmap& bits, std::uint64_t columns_max);

}  // namespace drseed::bitmap
