#include "bitmap/bitmap_format.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace drseed::bitmap {
namespace {

constexpr std::array<char, 8> kHeaderMagic = {'d', 'r', 's', 'e', 'e', 'd', 'B', 'M'};
constexpr std::uint32_t kPageMagic = 0x47504d42;   // "BMPG"
constexpr std::uint32_t kTableMagic = 0x42544d42;  // "BMTB"

template <typename Struct>
std::uint64_t check_of(const Struct& sector) {
  return XXH3_64bits(&sector, sizeof sector - sizeof(ul64));
}

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

SlotSector make_sector(std::uint32_t magic, const Id& file_id, SlotId slot, unsigned part, std::uint64_t index) {
  SlotSector sector{};
  sector.magic = magic;
  sector.slot = static_cast<std::uint16_t>(slot);
  sector.part = static_cast<std::uint16_t>(part);
  sector.index = index;
  sector.file_id = file_id.bytes;
  return sector;
}

// The sector, if it is the one that is expected here.
bool prove(Bytes bytes, std::uint32_t magic, const Id& file_id, SlotId slot, unsigned part, std::uint64_t index,
           SlotSector& sector) {
  if (bytes.size() != kSectorBytes) return false;
  std::memcpy(&sector, bytes.data(), kSectorBytes);
  return sector.check == check_of(sector) && sector.magic == magic && sector.slot == static_cast<unsigned>(slot) &&
         sector.part == part && sector.index == index && sector.file_id == file_id.bytes && all_zero(sector.reserved);
}

std::uint64_t record_check(RecordHeader header, Bytes payload) {
  header.check = XXH3_64bits(payload.data(), payload.size());
  return XXH3_64bits(&header, sizeof header);
}

}  // namespace

Result<> check_info(const FileInfo& info) {
  const auto wrong = [](std::string_view field, std::uint64_t found, std::string_view expected) {
    return fail(ErrorCode::kUsage, "{} {}: expected {}", field, found, expected);
  };
  if (info.volume_bytes == 0 || info.volume_bytes > kVolumeBytesMax || info.volume_bytes % kSectorBytes != 0)
    return wrong("volume size", info.volume_bytes, "a multiple of 512 bytes, at most 2^56");
  if (!std::has_single_bit(info.block_bytes) || info.block_bytes < kBlockBytesMin || info.block_bytes > kBlockBytesMax)
    return wrong("block size", info.block_bytes, "a power of two from 4 KiB to 1 MiB");
  if (info.block_count() > kBlocksMax) return wrong("blocks", info.block_count(), "at most 2^36; choose larger blocks");
  if (!std::has_single_bit(info.region_bytes) || info.region_bytes < info.block_bytes ||
      info.region_bytes > kRegionBytesMax)
    return wrong("region size", info.region_bytes, "a power of two from the block size to 256 MiB");
  if (info.region_count() > std::uint64_t{1} << 32)
    return wrong("regions", info.region_count(), "at most 2^32; choose larger regions");
  if (info.log_regions < kLogRegionsMin || info.log_regions > kLogRegionsMax)
    return wrong("regions in the activity log", info.log_regions, "16 to 65536");
  return {};
}

HeaderSector encode_header(const FileInfo& info) {
  HeaderSector header{};
  header.magic = kHeaderMagic;
  header.version = kFormatVersion;
  header.slots = kSlots;
  header.file_id = info.file_id.bytes;
  header.mirror_id = info.mirror_id.bytes;
  header.volume_bytes = info.volume_bytes;
  header.block_bytes = info.block_bytes;
  header.region_bytes = info.region_bytes;
  header.log_regions = info.log_regions;
  header.check = check_of(header);
  return header;
}

Result<FileInfo> decode_header(Bytes sector) {
  HeaderSector header;
  if (sector.size() != sizeof header) return fail(ErrorCode::kDiffers, "header: {} bytes, expected 512", sector.size());
  std::memcpy(&header, sector.data(), sizeof header);
  if (header.magic != kHeaderMagic) return fail(ErrorCode::kDiffers, "header: not a drseed bitmap file");
  if (header.check != check_of(header)) return fail(ErrorCode::kDiffers, "header: damaged (checksum)");
  if (header.version != kFormatVersion) {
    return fail(ErrorCode::kDiffers, "header: format version {}, this drseed reads {}",
                static_cast<std::uint32_t>(header.version), kFormatVersion);
  }
  if (header.slots != kSlots || !all_zero(header.reserved))
    return fail(ErrorCode::kDiffers, "header: fields that this drseed does not know");
  FileInfo info;
  info.file_id.bytes = header.file_id;
  info.mirror_id.bytes = header.mirror_id;
  info.volume_bytes = header.volume_bytes;
  info.block_bytes = header.block_bytes;
  info.region_bytes = header.region_bytes;
  info.log_regions = header.log_regions;
  if (auto checked = check_info(info); !checked)
    return fail(ErrorCode::kDiffers, "header: {}", checked.error().message());
  return info;
}

Layout::Layout(const FileInfo& info)
    : log_begin_(kRecordBegin + 4 * kRecordBytesMax),
      log_copy_bytes_(round_up(sizeof(RecordHeader) + info.log_regions * sizeof(ul32), 4096)),
      slots_begin_(log_begin_ + 4 * log_copy_bytes_),
      table_sectors_((info.page_count() + kTablePagesPerSector - 1) / kTablePagesPerSector),
      slot_bytes_(round_up(2 * table_sectors_ * kSectorBytes + info.page_count() * kPageBytes, 4096)) {}

std::uint64_t Layout::page(SlotId slot, std::uint64_t page) const {
  return table(slot, 0, 0) + 2 * table_sectors_ * kSectorBytes + page * kPageBytes;
}

void encode_page(const Id& file_id, SlotId slot, std::uint64_t page, const PageWords& words, MutableBytes out) {
  assert(out.size() == kPageBytes);
  for (std::size_t part = 0; part < kPageSectors; ++part) {
    auto sector = make_sector(kPageMagic, file_id, slot, static_cast<unsigned>(part), page);
    const auto first = part * kWordsPerSector;
    for (std::size_t i = 0; i < std::min(kWordsPerSector, kPageWords - first); ++i) {
      const ul64 word = words[first + i];
      std::memcpy(&sector.payload[8 * i], &word, 8);
    }
    sector.check = check_of(sector);
    std::memcpy(&out[part * kSectorBytes], &sector, kSectorBytes);
  }
}

unsigned decode_page(const Id& file_id, SlotId slot, std::uint64_t page, Bytes bytes, PageWords& words) {
  unsigned damaged = 0;
  for (std::size_t part = 0; part < kPageSectors; ++part) {
    SlotSector sector;
    const auto raw =
        bytes.size() < (part + 1) * kSectorBytes ? Bytes{} : bytes.subspan(part * kSectorBytes, kSectorBytes);
    const bool proven = prove(raw, kPageMagic, file_id, slot, static_cast<unsigned>(part), page, sector);
    damaged += !proven;
    const auto first = part * kWordsPerSector;
    for (std::size_t i = 0; i < std::min(kWordsPerSector, kPageWords - first); ++i) {
      ul64 word = ~std::uint64_t{0};
      if (proven) std::memcpy(&word, &sector.payload[8 * i], 8);
      words[first + i] = word;
    }
  }
  return damaged;
}

void encode_table_sector(const Id& file_id, SlotId slot, unsigned copy, std::uint64_t index,
                         std::span<const PageState> states, MutableBytes out) {
  assert(out.size() == kSectorBytes && states.size() <= kTablePagesPerSector);
  auto sector = make_sector(kTableMagic, file_id, slot, copy, index);
  std::transform(states.begin(), states.end(), sector.payload.begin(),
                 [](PageState state) { return static_cast<std::uint8_t>(state); });
  sector.check = check_of(sector);
  std::memcpy(out.data(), &sector, kSectorBytes);
}

bool decode_table_sector(const Id& file_id, SlotId slot, unsigned copy, std::uint64_t index, Bytes bytes,
                         std::span<PageState> states) {
  assert(states.size() <= kTablePagesPerSector);
  SlotSector sector;
  if (!prove(bytes, kTableMagic, file_id, slot, copy, index, sector)) return false;
  const auto known = [](std::uint8_t state) { return state <= static_cast<std::uint8_t>(PageState::kStored); };
  if (!std::all_of(sector.payload.begin(), sector.payload.end(), known)) return false;
  std::transform(sector.payload.begin(), sector.payload.begin() + static_cast<std::ptrdiff_t>(states.size()),
                 states.begin(), [](std::uint8_t state) { return static_cast<PageState>(state); });
  return true;
}

std::vector<std::uint8_t> encode_record(RecordKind kind, const Id& file_id, const Record& record) {
  RecordHeader header{};
  header.magic = static_cast<std::uint32_t>(kind);
  header.payload_bytes = static_cast<std::uint32_t>(record.payload.size());
  header.sequence = record.sequence;
  header.file_id = file_id.bytes;
  header.check = record_check(header, record.payload);
  std::vector<std::uint8_t> bytes(round_up(sizeof header + record.payload.size(), kSectorBytes));
  std::memcpy(bytes.data(), &header, sizeof header);
  std::copy(record.payload.begin(), record.payload.end(), bytes.begin() + sizeof header);
  return bytes;
}

std::size_t record_bytes(Bytes first_sector, std::size_t bytes_max) {
  RecordHeader header;
  assert(first_sector.size() >= sizeof header);
  std::memcpy(&header, first_sector.data(), sizeof header);
  return std::min<std::size_t>(bytes_max, round_up(sizeof header + std::size_t{header.payload_bytes}, kSectorBytes));
}

std::optional<Record> decode_record(RecordKind kind, const Id& file_id, Bytes bytes) {
  RecordHeader header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != static_cast<std::uint32_t>(kind) || header.file_id != file_id.bytes ||
      !all_zero(header.reserved) || header.payload_bytes > bytes.size() - sizeof header || header.sequence >> 63 != 0) {
    return std::nullopt;
  }
  const auto payload = bytes.subspan(sizeof header, header.payload_bytes);
  if (header.check != record_check(header, payload)) return std::nullopt;
  return Record{header.sequence, {payload.begin(), payload.end()}};
}

std::vector<std::uint8_t> encode_regions(std::span<const RegionIndex> regions) {
  std::vector<std::uint8_t> payload(regions.size() * sizeof(ul32));
  for (std::size_t i = 0; i < regions.size(); ++i) {
    assert(i == 0 || regions[i - 1] < regions[i]);
    const ul32 region = regions[i];
    std::memcpy(&payload[i * sizeof region], &region, sizeof region);
  }
  return payload;
}

std::optional<std::vector<RegionIndex>> decode_regions(Bytes payload, const FileInfo& info) {
  const auto count = payload.size() / sizeof(ul32);
  if (payload.size() % sizeof(ul32) != 0 || count > info.log_regions) return std::nullopt;
  std::vector<RegionIndex> regions(count);
  for (std::size_t i = 0; i < count; ++i) {
    ul32 region;
    std::memcpy(&region, &payload[i * sizeof region], sizeof region);
    regions[i] = region;
    if (regions[i] >= info.region_count() || (i > 0 && regions[i] <= regions[i - 1])) return std::nullopt;
  }
  return regions;
}

namespace {

struct SlotEntry {
  std::uint8_t kind;
  std::uint8_t flags;
  std::array<std::uint8_t, 6> reserved;
  std::array<char, kSlotNameBytesMax + 1> name;  // padded with NUL
  std::array<std::uint8_t, 16> id;
  std::array<std::uint8_t, 16> base_generation;
  ul64 base_sequence;
};
static_assert(sizeof(SlotEntry) == 96 && alignof(SlotEntry) == 1);

struct StateHead {
  ul32 flags;
  ul32 engine_bytes;
  std::array<std::uint8_t, 16> generation;
  ul64 sequence_low;
  ul64 sequence_high;
  std::array<std::uint8_t, 24> reserved;
  std::array<SlotEntry, kSlots> slots;
};
static_assert(sizeof(StateHead) == 64 + kSlots * sizeof(SlotEntry) && alignof(StateHead) == 1);
static_assert(sizeof(RecordHeader) + sizeof(StateHead) + kEngineBytesMax <= kRecordBytesMax);

constexpr std::uint32_t kFlagInService = 1;

SlotEntry encode_slot(const SlotInfo& slot) {
  assert(slot.name.size() <= kSlotNameBytesMax);
  SlotEntry entry{};
  entry.kind = static_cast<std::uint8_t>(slot.kind);
  entry.flags = slot.flags;
  std::copy(slot.name.begin(), slot.name.end(), entry.name.begin());
  entry.id = slot.id.bytes;
  entry.base_generation = slot.base_generation.bytes;
  entry.base_sequence = slot.base_sequence;
  return entry;
}

std::optional<SlotInfo> decode_slot(const SlotEntry& entry) {
  if (entry.kind > static_cast<std::uint8_t>(SlotKind::kLocal) || entry.flags > kSlotInvalid ||
      !all_zero(entry.reserved)) {
    return std::nullopt;
  }
  SlotInfo slot;
  slot.kind = static_cast<SlotKind>(entry.kind);
  slot.flags = entry.flags;
  const auto end = std::find(entry.name.begin(), entry.name.end(), '\0');
  if (end == entry.name.end() || std::any_of(end, entry.name.end(), [](char c) { return c != '\0'; }))
    return std::nullopt;
  slot.name.assign(entry.name.begin(), end);
  slot.id.bytes = entry.id;
  slot.base_generation.bytes = entry.base_generation;
  slot.base_sequence = entry.base_sequence;
  if (slot.kind == SlotKind::kFree && slot != SlotInfo{}) return std::nullopt;
  return slot;
}

}  // namespace

std::vector<std::uint8_t> encode_state(const StateRecord& state) {
  assert(state.engine.size() <= kEngineBytesMax);
  StateHead head{};
  head.flags = state.in_service ? kFlagInService : 0;
  head.engine_bytes = static_cast<std::uint32_t>(state.engine.size());
  head.generation = state.generation.bytes;
  head.sequence_low = state.sequence_low;
  head.sequence_high = state.sequence_high;
  std::transform(state.slots.begin(), state.slots.end(), head.slots.begin(), encode_slot);
  std::vector<std::uint8_t> payload(sizeof head + state.engine.size());
  std::memcpy(payload.data(), &head, sizeof head);
  std::copy(state.engine.begin(), state.engine.end(), payload.begin() + sizeof head);
  return payload;
}

Result<StateRecord> decode_state(Bytes payload) {
  StateHead head;
  if (payload.size() < sizeof head) return fail(ErrorCode::kDiffers, "state record: {} bytes, too few", payload.size());
  std::memcpy(&head, payload.data(), sizeof head);
  if (head.engine_bytes != payload.size() - sizeof head || head.engine_bytes > kEngineBytesMax)
    return fail(ErrorCode::kDiffers, "state record: its length does not fit");
  if (head.flags > kFlagInService || !all_zero(head.reserved))
    return fail(ErrorCode::kDiffers, "state record: fields that this drseed does not know");
  StateRecord state;
  state.in_service = head.flags == kFlagInService;
  state.generation.bytes = head.generation;
  state.sequence_low = head.sequence_low;
  state.sequence_high = head.sequence_high;
  if (state.sequence_low > state.sequence_high)
    return fail(ErrorCode::kDiffers, "state record: sequence {} above {}", state.sequence_low, state.sequence_high);
  for (std::size_t i = 0; i < kSlots; ++i) {
    const auto slot = decode_slot(head.slots[i]);
    if (!slot) return fail(ErrorCode::kDiffers, "state record: slot {} is not valid", i);
    state.slots[i] = *slot;
  }
  state.engine.assign(payload.begin() + sizeof head, payload.end());
  return state;
}

}  // namespace drseed::bitmap
