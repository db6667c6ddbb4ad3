#pragma once
// The bitmap file's structures (bitmap/FORMAT.md). Pure: encodes and decodes bytes, reads and writes no file.
//
// Every 512-byte sector of a table or a page proves itself, so that a torn write leaves sectors that are old or new,
// never something else. What does not decode is the caller's to treat as dirty.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/endian.h"
#include "base/id.h"
#include "base/result.h"
#include "bitmap/dirty_bitmap.h"

namespace drseed::bitmap {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

constexpr std::uint32_t kFormatVersion = 1;
constexpr std::size_t kSectorBytes = 512;
constexpr std::uint32_t kBlockBytesDefault = 4 << 10;
constexpr std::uint32_t kBlockBytesMin = 4 << 10;
constexpr std::uint32_t kBlockBytesMax = 1 << 20;
constexpr std::uint64_t kVolumeBytesMax = std::uint64_t{1} << 56;
constexpr std::uint64_t kBlocksMax = std::uint64_t{1} << 36;  // 256 TiB at 4 KiB: 8 GiB of memory for a dense slot
constexpr std::uint32_t kRegionBytesDefault = 4 << 20;
constexpr std::uint32_t kRegionBytesMax = 256 << 20;
constexpr std::uint32_t kLogRegionsDefault = 1024;
constexpr std::uint32_t kLogRegionsMin = 16;  // a request of 32 MiB takes nine regions of 4 MiB
constexpr std::uint32_t kLogRegionsMax = 65536;
constexpr std::uint32_t kSlots = 24;  // 7 peers, an un-extended mirror's own, and 16 seeds
constexpr std::uint32_t kPeersMax = 7;
constexpr std::size_t kRecordBytesMax = 64 << 10;  // of one copy of the state record, its header included
constexpr std::size_t kSlotNameBytesMax = 47;

enum class SlotId : std::uint8_t {};
constexpr std::size_t index_of(SlotId slot) {
  return static_cast<std::size_t>(slot);
}
using RegionIndex = std::uint32_t;

// What a file is of; fixed when it is created.
struct FileInfo {
  Id file_id;  // random: a sector of another bitmap file is never taken for one of this
  Id mirror_id;
  std::uint64_t volume_bytes = 0;
  std::uint32_t block_bytes = kBlockBytesDefault;
  std::uint32_t region_bytes = kRegionBytesDefault;
  std::uint32_t log_regions = kLogRegionsDefault;  // most regions that the activity log holds

  std::uint64_t block_count() const { return (volume_bytes + block_bytes - 1) / block_bytes; }
  std::uint64_t page_count() const { return (block_count() + kPageBlocks - 1) / kPageBlocks; }
  std::uint64_t region_count() const { return (volume_bytes + region_bytes - 1) / region_bytes; }
  bool operator==(const FileInfo&) const = default;
};
// kUsage, naming the field, where a value is beyond its limits.
Result<> check_info(const FileInfo& info);

struct HeaderSector {
  std::array<char, 8> magic;
  ul32 version;
  ul32 slots;
  std::array<std::uint8_t, 16> file_id;
  std::array<std::uint8_t, 16> mirror_id;
  ul64 volume_bytes;
  ul32 block_bytes;
  ul32 region_bytes;
  ul32 log_regions;
  std::array<std::uint8_t, 436> reserved;
  ul64 check;  // XXH3-64 of the bytes before
};
static_assert(sizeof(HeaderSector) == kSectorBytes && alignof(HeaderSector) == 1);

HeaderSector encode_header(const FileInfo& info);
// kDiffers, saying which field is wrong: not a bitmap file, of another version, damaged, beyond the limits.
Result<FileInfo> decode_header(Bytes sector);

// Where everything lies in the file, in bytes.
class Layout {
 public:
  static constexpr std::uint64_t kHeaderCopy2 = 4096;
  static constexpr std::uint64_t kRecordBegin = 8192;

  explicit Layout(const FileInfo& info);
  std::uint64_t record(unsigned which, unsigned copy) const {
    return kRecordBegin + (2 * which + copy) * kRecordBytesMax;
  }
  std::uint64_t log(unsigned which, unsigned copy) const { return log_begin_ + (2 * which + copy) * log_copy_bytes_; }
  std::size_t log_copy_bytes() const { return log_copy_bytes_; }
  std::uint64_t table(SlotId slot, unsigned copy, std::uint64_t sector) const {
    return slots_begin_ + index_of(slot) * slot_bytes_ + (copy * table_sectors_ + sector) * kSectorBytes;
  }
  std::uint64_t table_sectors() const { return table_sectors_; }
  std::uint64_t page(SlotId slot, std::uint64_t page) const;
  std::uint64_t file_bytes() const { return slots_begin_ + kSlots * slot_bytes_; }

 private:
  std::uint64_t log_begin_, log_copy_bytes_, slots_begin_, table_sectors_, slot_bytes_;
};

// A sector of a slot: part of a page, or of the table that says what each page is.
constexpr std::size_t kPayloadBytes = 456;
constexpr std::size_t kPageSectors = 9;
constexpr std::size_t kPageBytes = kPageSectors * kSectorBytes;
constexpr std::size_t kWordsPerSector = kPayloadBytes / 8;     // the last sector of a page holds 56
constexpr std::uint64_t kTablePagesPerSector = kPayloadBytes;  // one PageState a byte
static_assert(kPageSectors * kWordsPerSector >= kPageWords && (kPageSectors - 1) * kWordsPerSector < kPageWords);

struct SlotSector {
  ul32 magic;
  ul16 slot;
  ul16 part;   // of a page: 0 to 8; of a table: which copy
  ul64 index;  // of the page, or of the sector in the table
  std::array<std::uint8_t, 16> file_id;
  std::array<std::uint8_t, 16> reserved;
  std::array<std::uint8_t, kPayloadBytes> payload;
  ul64 check;  // XXH3-64 of the bytes before
};
static_assert(sizeof(SlotSector) == kSectorBytes && alignof(SlotSector) == 1);

void encode_page(const Id& file_id, SlotId slot, std::uint64_t page, const PageWords& words, MutableBytes out);
// Fills `words`; the blocks of sectors that do not prove themselves are set. Returns how many sectors did not.
unsigned decode_page(const Id& file_id, SlotId slot, std::uint64_t page, Bytes bytes, PageWords& words);

// `states` begin with page sector * kTablePagesPerSector; there are at most kTablePagesPerSector of them.
void encode_table_sector(const Id& file_id, SlotId slot, unsigned copy, std::uint64_t sector,
                         std::span<const PageState> states, MutableBytes out);
// False if the sector does not prove itself or holds what is no PageState; `states` are then untouched.
[[nodiscard]] bool decode_table_sector(const Id& file_id, SlotId slot, unsigned copy, std::uint64_t sector, Bytes bytes,
                                       std::span<PageState> states);

// A record that is replaced as a whole: the state record and the activity log.
enum class RecordKind : std::uint32_t { kState = 0x53524d42, kLog = 0x474c4d42 };  // "BMRS", "BMLG"

struct RecordHeader {
  ul32 magic;
  ul32 payload_bytes;
  ul64 sequence;
  std::array<std::uint8_t, 16> file_id;
  std::array<std::uint8_t, 24> reserved;
  ul64 check;  // XXH3-64 of the payload, then of the bytes before
};
static_assert(sizeof(RecordHeader) == 64 && alignof(RecordHeader) == 1);

struct Record {
  std::uint64_t sequence = 0;
  std::vector<std::uint8_t> payload;
};
// Header and payload, padded with zeros to whole sectors.
std::vector<std::uint8_t> encode_record(RecordKind kind, const Id& file_id, const Record& record);
// How many bytes a record takes that begins with this sector, padding included; at most `bytes_max`.
std::size_t record_bytes(Bytes first_sector, std::size_t bytes_max);
// Nothing if the bytes are no such record, whole and of this file.
std::optional<Record> decode_record(RecordKind kind, const Id& file_id, Bytes bytes);

// The activity log's payload: regions, ascending.
std::vector<std::uint8_t> encode_regions(std::span<const RegionIndex> regions);
std::optional<std::vector<RegionIndex>> decode_regions(Bytes payload, const FileInfo& info);

// The state record: what must change together.
enum class SlotKind : std::uint8_t { kFree = 0, kPeer = 1, kSeed = 2, kLocal = 3 };
constexpr std::uint8_t kSlotInvalid = 1;  // flag: the slot has missed changes; its bits are no superset

struct SlotInfo {
  SlotKind kind = SlotKind::kFree;
  std::uint8_t flags = 0;
  std::string name;  // node's name, seed's label
  Id id;             // of the node or seed
  // The slot's bits cover every write of the lineage after this one.
  Id base_generation;
  std::uint64_t base_sequence = 0;
  bool operator==(const SlotInfo&) const = default;
};

struct StateRecord {
  bool in_service = false;  // or was when the file was last written: its activity log counts
  Id generation;            // of the data on this node's disk
  std::uint64_t sequence_low = 0;
  std::uint64_t sequence_high = 0;
  std::array<SlotInfo, kSlots> slots;
  std::vector<std::uint8_t> engine;  // the replicator's own part, opaque here
  bool operator==(const StateRecord&) const = default;
};
constexpr std::size_t kEngineBytesMax = 56 << 10;

std::vector<std::uint8_t> encode_state(const StateRecord& state);
// kDiffers where a field is beyond its limits.
Result<StateRecord> decode_state(Bytes payload);

}  // namespace drseed::bitmap
