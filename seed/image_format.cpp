#include "seed/image_format.h"

#include <xxhash.h>

#include <charconv>
#include <cstring>

#include "base/hex.h"

namespace drseed::seed {
namespace {

constexpr std::array<char, 8> kIndexMagic{'d', 'r', 's', 'e', 'e', 'd', 'i', 'x'};

// Takes "key=value" off the front of the text; the value ends at a space or the end.
std::optional<std::string_view> take_field(std::string_view& text, std::string_view key) {
  if (!text.starts_with(key) || text.size() <= key.size() || text[key.size()] != '=') return std::nullopt;
  text.remove_prefix(key.size() + 1);
  const auto end = text.find(' ');
  const auto value = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return value;
}

template <typename Int>
bool parse_number(std::string_view text, Int& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

template <typename Int>
bool take_number(std::string_view& text, std::string_view key, Int& value) {
  const auto field = take_field(text, key);
  return field && parse_number(*field, value);
}

bool take_hex(std::string_view& text, std::string_view key, std::span<std::uint8_t> out) {
  const auto field = take_field(text, key);
  return field && from_hex(*field, out);
}

bool parse_unreadable(std::string_view text, std::vector<Range>& ranges) {
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto item = text.substr(0, comma);
    const auto plus = item.find('+');
    Range range;
    if (plus == std::string_view::npos || !parse_number(item.substr(0, plus), range.offset_bytes) ||
        !parse_number(item.substr(plus + 1), range.length_bytes) || ranges.size() == kUnreadableRangesMax) {
      return false;
    }
    ranges.push_back(range);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return true;
}

bool within_limits(const SegmentRecord& record) {
  if (record.length_bytes == 0 || record.length_bytes > kSegmentBytesMax) return false;
  if (record.stored_bytes == 0 || record.stored_bytes > stored_bytes_max(record.length_bytes)) return false;
  if (record.offset_bytes > kDiskBytesMax || record.zeros_from_bytes > record.offset_bytes) return false;
  std::uint64_t end = record.offset_bytes;
  for (const auto& range : record.unreadable) {
    const bool inside = range.offset_bytes >= end && range.length_bytes > 0 &&
                        range.length_bytes <= record.length_bytes && range.offset_bytes <= kDiskBytesMax &&
                        range.end() <= record.offset_bytes + record.length_bytes;
    if (!inside) return false;
    end = range.end();
  }
  return true;
}

std::uint64_t index_header_check(const IndexHeader& header) {
  return XXH3_64bits(&header, offsetof(IndexHeader, check));
}

}  // namespace

std::string_view name_of(Codec codec) {
  switch (codec) {
    case Codec::kNone:
      return "none";
    case Codec::kGzip:
      return "gzip";
    case Codec::kZstd:
      return "zstd";
  }
  return "";
}

std::string_view suffix_of(Codec codec) {
  switch (codec) {
    case Codec::kNone:
      return "";
    case Codec::kGzip:
      return ".gz";
    case Codec::kZstd:
      return ".zst";
  }
  return "";
}

std::optional<Codec> codec_named(std::string_view name) {
  for (auto codec : {Codec::kNone, Codec::kGzip, Codec::kZstd}) {
    if (name_of(codec) == name) return codec;
  }
  return std::nullopt;
}

// zstd's bound is size + size/256 + 64 KiB/128 at most, deflate's size + size/1000 + 12 and the gzip frame of 18: this
// is above both.
std::size_t stored_bytes_max(std::size_t plain_bytes) {
  return plain_bytes + plain_bytes / 128 + 1024;
}

std::string encode_segment_record(const SegmentRecord& record) {
  auto text = fmt::format(
      "drseed-segment version={} image={} ordinal={} offset={} length={} stored={} zeros_from={} sha256={} xxh128={}",
      kFormatVersion, to_string(record.image_id), record.ordinal, record.offset_bytes, record.length_bytes,
      record.stored_bytes, record.zeros_from_bytes, to_hex(record.sha256), to_hex(record.xxh128));
  for (std::size_t i = 0; i < record.unreadable.size(); ++i) {
    const auto& range = record.unreadable[i];
    text += fmt::format("{}{}+{}", i == 0 ? " unreadable=" : ",", range.offset_bytes, range.length_bytes);
  }
  return fmt::format("{} check={:016x}", text, XXH3_64bits(text.data(), text.size()));
}

std::optional<SegmentRecord> decode_segment_record(std::string_view text) {
  if (text.size() > kRecordBytesMax) return std::nullopt;
  auto rest = text;
  constexpr std::string_view kStart = "drseed-segment ";
  if (!rest.starts_with(kStart)) return std::nullopt;
  rest.remove_prefix(kStart.size());
  SegmentRecord record;
  std::uint32_t version = 0;
  if (!take_number(rest, "version", version) || version != kFormatVersion) return std::nullopt;
  const auto image = take_field(rest, "image");
  const auto image_id = image ? parse_id(*image) : Result<Id>(fail(ErrorCode::kDiffers, "no image"));
  if (!image_id) return std::nullopt;
  record.image_id = *image_id;
  if (!take_number(rest, "ordinal", record.ordinal) || !take_number(rest, "offset", record.offset_bytes) ||
      !take_number(rest, "length", record.length_bytes) || !take_number(rest, "stored", record.stored_bytes) ||
      !take_number(rest, "zeros_from", record.zeros_from_bytes) || !take_hex(rest, "sha256", record.sha256) ||
      !take_hex(rest, "xxh128", record.xxh128)) {
    return std::nullopt;
  }
  if (const auto ranges = take_field(rest, "unreadable"); ranges && !parse_unreadable(*ranges, record.unreadable)) {
    return std::nullopt;
  }
  if (!within_limits(record) || encode_segment_record(record) != text) return std::nullopt;
  return record;
}

std::string data_name(std::uint64_t offset_bytes, Codec codec) {
  return fmt::format("data/{:016x}{}", offset_bytes, suffix_of(codec));
}

std::string record_name(std::uint64_t offset_bytes) {
  return fmt::format("PaxHeaders/{:016x}", offset_bytes);
}

IndexHeader make_index_header(const Id& image_id, std::uint32_t volume, std::uint64_t range_offset_bytes,
                              std::uint64_t entry_count) {
  IndexHeader header{};
  header.magic = kIndexMagic;
  header.version = kFormatVersion;
  header.entry_bytes = sizeof(IndexEntry);
  header.entry_count = entry_count;
  header.image_id = image_id.bytes;
  header.volume = volume;
  header.range_offset_bytes = range_offset_bytes;
  header.check = index_header_check(header);
  return header;
}

Result<IndexHeader> decode_index_header(std::span<const std::uint8_t> bytes) {
  IndexHeader header;
  if (bytes.size() < sizeof header) {
    return fail(ErrorCode::kDiffers, "index: {} bytes, expected at least {}", bytes.size(), sizeof header);
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kIndexMagic) return fail(ErrorCode::kDiffers, "index: wrong magic");
  if (header.check != index_header_check(header)) return fail(ErrorCode::kDiffers, "index: its header is damaged");
  if (header.version != kFormatVersion) {
    return fail(ErrorCode::kDiffers, "index: version {}, this drseed knows version {}", std::uint32_t{header.version},
                kFormatVersion);
  }
  if (header.entry_bytes != sizeof(IndexEntry) || header.reserved != 0) {
    return fail(ErrorCode::kDiffers, "index: entries of {} bytes, expected {}", std::uint32_t{header.entry_bytes},
                sizeof(IndexEntry));
  }
  return header;
}

Result<> check_index_entry(const IndexEntry& entry, std::uint64_t expected_offset, const IndexBounds& bounds) {
  const std::uint64_t offset = entry.offset_bytes;
  const std::uint64_t length = entry.length_bytes;
  const auto wrong = [&](std::string_view what) {
    return fail(ErrorCode::kDiffers, "index: entry at offset {} with {} bytes: {}", offset, length, what);
  };
  if (offset != expected_offset) return wrong(fmt::format("expected offset {}", expected_offset));
  if (offset % bounds.segment_bytes != 0) return wrong("does not begin at a segment");
  if (length == 0 || length > bounds.range.end() - offset) return wrong("its length leaves the volume's range");
  const bool at_end = offset + length == bounds.disk_bytes;
  if (!at_end && length % bounds.segment_bytes != 0) return wrong("not a whole number of segments");
  if (entry.kind == static_cast<std::uint16_t>(EntryKind::kZeros)) {
    const bool blank = entry.position_bytes == 0 && entry.stored_bytes == 0 && entry.flags == 0 &&
                       entry.sha256 == Digest256{} && entry.xxh128 == Digest128{};
    if (!blank) return wrong("a run of zeros with fields that must be zero");
    return {};
  }
  if (!entry.is_data()) return wrong(fmt::format("unknown kind {}", std::uint16_t{entry.kind}));
  if (length > bounds.segment_bytes) return wrong("larger than a segment");
  if ((entry.flags & ~kEntryHasUnreadable) != 0) return wrong("unknown flags");
  if (entry.stored_bytes == 0 || entry.stored_bytes > stored_bytes_max(length)) return wrong("impossible stored size");
  if (entry.position_bytes >= bounds.positions_end ||
      bounds.positions_end - entry.position_bytes < entry.stored_bytes) {
    return wrong("its position is outside the data");
  }
  return {};
}

}  // namespace drseed::seed
