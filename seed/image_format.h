#pragma once
// The seed image's own structures (seed/FORMAT.md): names of members, the segment record, the index. Pure.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/endian.h"
#include "base/id.h"
#include "base/result.h"

namespace drseed::seed {

constexpr std::uint32_t kFormatVersion = 1;
constexpr std::string_view kFormatName = "drseed-image";

constexpr std::string_view kHeaderName = "drseed/header.json";
constexpr std::string_view kSumsName = "SHA256SUMS";
constexpr std::string_view kIndexName = "drseed/index";
constexpr std::string_view kRestoreName = "RESTORE.md";
constexpr std::string_view kTrailerName = "drseed/trailer.json";

// Limits, each of them checked on reading before it is used.
constexpr std::uint32_t kSegmentBytesDefault = 4 << 20;
constexpr std::uint32_t kSegmentBytesMin = 64 << 10;  // below that the 1.5 KiB of headers per segment weigh
constexpr std::uint32_t kSegmentBytesMax = 16 << 20;  // above that the pipeline leaves its 256 MiB
constexpr std::uint64_t kDiskBytesMax = std::uint64_t{1} << 56;
constexpr std::uint64_t kSumsLineBytes = 64 + 2 + 5 + 16 + 1;  // "<sha256>  data/<offset>\n"
// A tar header can say 8 GiB of a member, and SHA256SUMS is the largest that grows with the disk.
constexpr std::uint64_t kSegmentsMax = ((std::uint64_t{1} << 33) - 1) / kSumsLineBytes;
constexpr std::size_t kHeaderBytesMax = 256 << 10;
constexpr std::size_t kRestoreBytesMax = 64 << 10;
constexpr std::size_t kTrailerBytes = 4096;  // fixed, so that it is found from the end of a volume
constexpr std::size_t kRecordBytesMax = 16 << 10;
constexpr std::size_t kUnreadableRangesMax = 256;  // per segment; more are merged outward

enum class Codec { kNone, kGzip, kZstd };
std::string_view name_of(Codec codec);    // "none", "gzip", "zstd"
std::string_view suffix_of(Codec codec);  // "", ".gz", ".zst"
std::optional<Codec> codec_named(std::string_view name);

// Most bytes that a segment of `plain_bytes` can take when stored: every codec's bound.
std::size_t stored_bytes_max(std::size_t plain_bytes);

using Digest256 = std::array<std::uint8_t, 32>;
using Digest128 = std::array<std::uint8_t, 16>;

struct Range {
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
  std::uint64_t end() const { return offset_bytes + length_bytes; }
  bool operator==(const Range&) const = default;
};

// What the pax header in front of a data member says of it: enough to prove and place the segment without the index.
struct SegmentRecord {
  Id image_id;
  std::uint64_t ordinal = 0;           // among the data segments of the image, from 0, without a gap
  std::uint64_t offset_bytes = 0;      // on the disk
  std::uint32_t length_bytes = 0;      // plain
  std::uint32_t stored_bytes = 0;      // compressed
  std::uint64_t zeros_from_bytes = 0;  // the disk is zero from here to offset_bytes: the end of the data segment before
  Digest256 sha256{};                  // of the plain bytes
  Digest128 xxh128{};                  // of the stored bytes
  std::vector<Range> unreadable;       // sectors that the source could not read; zeros stand for them

  bool operator==(const SegmentRecord&) const = default;
};

// The comment's text, which ends with a checksum of itself.
std::string encode_segment_record(const SegmentRecord& record);
// Accepts exactly what encode_segment_record writes, and sizes within the limits. Nothing otherwise.
std::optional<SegmentRecord> decode_segment_record(std::string_view text);

// "data/0000000000400000.zst" and the name of its pax header.
std::string data_name(std::uint64_t offset_bytes, Codec codec);
std::string record_name(std::uint64_t offset_bytes);

// drseed/index: one header, then entries ascending by offset that tile the volume's range of the disk.
struct IndexHeader {
  std::array<char, 8> magic;
  ul32 version;
  ul32 entry_bytes;
  ul64 entry_count;
  std::array<std::uint8_t, 16> image_id;
  ul32 volume;
  ul32 reserved;
  ul64 range_offset_bytes;
  ul64 check;  // XXH3-64 of the bytes before
};
static_assert(sizeof(IndexHeader) == 64 && alignof(IndexHeader) == 1);

enum class EntryKind : std::uint16_t { kData = 1, kZeros = 2 };
constexpr std::uint16_t kEntryHasUnreadable = 1;

struct IndexEntry {
  ul64 offset_bytes;
  ul64 length_bytes;    // plain; a run of zeros may be longer than a segment
  ul64 position_bytes;  // of the segment's pax header in the volume; 0 for zeros
  ul32 stored_bytes;    // 0 for zeros
  ul16 kind;
  ul16 flags;
  Digest256 sha256;
  Digest128 xxh128;

  std::uint64_t end() const { return offset_bytes + length_bytes; }
  bool is_data() const { return kind == static_cast<std::uint16_t>(EntryKind::kData); }
};
static_assert(sizeof(IndexEntry) == 80 && alignof(IndexEntry) == 1);

inline std::span<const std::uint8_t> bytes_of(const IndexEntry& entry) {
  return {reinterpret_cast<const std::uint8_t*>(&entry), sizeof entry};
}

IndexHeader make_index_header(const Id& image_id, std::uint32_t volume, std::uint64_t range_offset_bytes,
                              std::uint64_t entry_count);
// Fails with kDiffers, saying which field is wrong.
Result<IndexHeader> decode_index_header(std::span<const std::uint8_t> bytes);

// What entries of one index must be: in order, tiling [range), aligned to segments, positions inside the volume.
struct IndexBounds {
  Range range;  // of the disk
  std::uint64_t disk_bytes = 0;
  std::uint32_t segment_bytes = 0;
  std::uint64_t positions_end = 0;  // position of the member after the data
};
// Checks one entry that must begin at `expected_offset`. Fails with kDiffers.
Result<> check_index_entry(const IndexEntry& entry, std::uint64_t expected_offset, const IndexBounds& bounds);

}  // namespace drseed::seed
