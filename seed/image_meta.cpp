#include "seed/image_meta.h"

#include <cassert>

#include "base/digest.h"
#include "base/hex.h"
#include "seed/json_fields.h"
#include "seed/json_seal.h"

namespace drseed::seed {
namespace {

using nlohmann::json;

constexpr std::uint64_t kU32Max = UINT32_MAX;
constexpr std::uint64_t kU63Max = INT64_MAX;
constexpr std::uint64_t kMemberBytesMax = (std::uint64_t{1} << 33) - 1;  // what a tar header can say

// Text from sysfs or a command line may be no UTF-8; a header must never fail for that.
std::string dump(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace);
}

// A fact as decoding takes it: UTF-8 (a replaced byte becomes three) and not too long.
std::string clean(const std::string& fact) {
  auto text = json::parse(dump(json(fact))).get<std::string>();
  if (text.size() <= kTextBytesMax) return text;
  std::size_t end = kTextBytesMax;
  while ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not within a character
  return text.substr(0, end);
}

json encode_source(const SourceFacts& source) {
  return {{"path", clean(source.path)},
          {"host", clean(source.host)},
          {"logical_sector_bytes", source.logical_sector_bytes},
          {"physical_sector_bytes", source.physical_sector_bytes},
          {"model", clean(source.model)},
          {"serial", clean(source.serial)},
          {"by_id", clean(source.by_id)},
          {"filesystem",
           {{"type", clean(source.filesystem_type)},
            {"uuid", clean(source.filesystem_uuid)},
            {"label", clean(source.filesystem_label)}}},
          {"partition_table",
           {{"type", clean(source.partition_table_type)}, {"uuid", clean(source.partition_table_uuid)}}}};
}

SourceFacts decode_source(JsonFields& fields) {
  SourceFacts source;
  source.path = fields.text("path");
  source.host = fields.text("host");
  source.logical_sector_bytes = static_cast<std::uint32_t>(fields.number("logical_sector_bytes", kU32Max));
  source.physical_sector_bytes = static_cast<std::uint32_t>(fields.number("physical_sector_bytes", kU32Max));
  source.model = fields.text("model");
  source.serial = fields.text("serial");
  source.by_id = fields.text("by_id");
  auto filesystem = fields.object("filesystem");
  source.filesystem_type = filesystem.text("type");
  source.filesystem_uuid = filesystem.text("uuid");
  source.filesystem_label = filesystem.text("label");
  fields.merge(filesystem);
  auto table = fields.object("partition_table");
  source.partition_table_type = table.text("type");
  source.partition_table_uuid = table.text("uuid");
  fields.merge(table);
  return source;
}

Id take_id(JsonFields& fields, std::string_view key) {
  const auto id = parse_id(fields.text(key));
  if (!id) fields.refuse(key, "is not a UUID");
  return id.value_or(Id{});
}

Codec take_codec(JsonFields& fields, std::string_view key) {
  const auto codec = codec_named(fields.text(key));
  if (!codec) fields.refuse(key, "names a codec that this drseed does not know");
  return codec.value_or(Codec::kNone);
}

std::uint32_t take_segment_bytes(JsonFields& fields) {
  const auto bytes = static_cast<std::uint32_t>(fields.number("segment_bytes", kSegmentBytesMax));
  if (bytes < kSegmentBytesMin || (bytes & (bytes - 1)) != 0)
    fields.refuse("segment_bytes", "is no power of two from 64 KiB to 16 MiB");
  return bytes;
}

// Segments are cut at multiples of their size, whatever volume they are in.
std::uint64_t take_range_offset(JsonFields& fields, std::string_view key, std::uint64_t disk_bytes,
                                std::uint32_t segment_bytes) {
  const auto offset = fields.number(key, disk_bytes);
  if (segment_bytes != 0 && offset % segment_bytes != 0) fields.refuse(key, "is not at a segment");
  return offset;
}

Result<> check_version(JsonFields& fields) {
  const auto format = fields.text("format");
  const auto version = fields.number("version", kU32Max);
  DRSEED_TRY(fields.result());
  if (format != kFormatName) return fail(ErrorCode::kDiffers, "format '{}', expected '{}'", format, kFormatName);
  if (version != kFormatVersion) {
    return fail(ErrorCode::kDiffers, "image format version {}, this drseed knows version {}: use a newer drseed",
                version, kFormatVersion);
  }
  return {};
}

std::optional<std::string> take_optional_hex(JsonFields& fields, std::string_view key, std::size_t digits) {
  if (!fields.has(key)) return std::nullopt;
  auto text = fields.text(key, digits);
  if (text.size() != digits || text.find_first_not_of("0123456789abcdef") != std::string::npos)
    fields.refuse(key, "is no digest");
  return text;
}

}  // namespace

std::string encode_header(const ImageHeader& header) {
  const json value = {{"format", kFormatName},
                      {"version", kFormatVersion},
                      {"image_id", to_string(header.image_id)},
                      {"created_seconds", header.created_seconds},
                      {"writer", header.writer},
                      {"source", encode_source(header.source)},
                      {"disk_bytes", header.disk_bytes},
                      {"segment_bytes", header.segment_bytes},
                      {"codec", name_of(header.codec)},
                      {"level", header.level},
                      {"volume", header.volume},
                      {"volume_bytes", header.volume_bytes},
                      {"range_offset_bytes", header.range_offset_bytes},
                      {"whole_disk_digests", header.whole_disk_digests},
                      {"check", kUnsealed},
                      {"note", header.note},
                      {"passport", header.passport}};
  return seal(dump(value) + "\n");
}

Result<ImageHeader> decode_header(std::string_view text) {
  const std::string name(kHeaderName);
  if (text.size() > kHeaderBytesMax)
    return fail(ErrorCode::kDiffers, "{}: {} bytes, more than {}", name, text.size(), kHeaderBytesMax);
  const auto value = DRSEED_TRY(parse_json_object(text, name));
  JsonFields fields(value, name);
  DRSEED_TRY(check_version(fields));
  DRSEED_TRY(check_seal(text, name));
  ImageHeader header;
  header.image_id = take_id(fields, "image_id");
  header.created_seconds = fields.number("created_seconds", (std::uint64_t{1} << 33) - 1);
  header.writer = fields.text("writer");
  auto source = fields.object("source");
  header.source = decode_source(source);
  fields.merge(source);
  header.disk_bytes = fields.number("disk_bytes", kDiskBytesMax);
  header.segment_bytes = take_segment_bytes(fields);
  header.codec = take_codec(fields, "codec");
  header.level = static_cast<int>(fields.number("level", 99));
  header.volume = static_cast<std::uint32_t>(fields.number("volume", kU32Max));
  header.volume_bytes = fields.number("volume_bytes", kU63Max);
  header.range_offset_bytes = take_range_offset(fields, "range_offset_bytes", header.disk_bytes, header.segment_bytes);
  const auto& digests = fields.raw("whole_disk_digests");
  if (!digests.is_array() || digests.size() > 8) fields.refuse("whole_disk_digests", "is no list");
  for (const auto& digest : digests.is_array() ? digests : json::array()) {
    if (digest.is_string()) header.whole_disk_digests.push_back(digest.get<std::string>());
  }
  header.note = fields.text("note", kHeaderBytesMax);
  header.passport = fields.raw("passport");
  if (header.volume == 0) fields.refuse("volume", "is 0");
  DRSEED_TRY(fields.result());
  return header;
}

std::string encode_trailer(const ImageTrailer& trailer) {
  json value = {{"format", kFormatName},
                {"version", kFormatVersion},
                {"image_id", to_string(trailer.image_id)},
                {"disk_bytes", trailer.disk_bytes},
                {"segment_bytes", trailer.segment_bytes},
                {"codec", name_of(trailer.codec)},
                {"volume", trailer.volume},
                {"volumes", trailer.volumes},
                {"last", trailer.last},
                {"range", {{"offset_bytes", trailer.range.offset_bytes}, {"length_bytes", trailer.range.length_bytes}}},
                {"data_segments", trailer.data_segments},
                {"first_ordinal", trailer.first_ordinal},
                {"data_bytes", trailer.data_bytes},
                {"stored_bytes", trailer.stored_bytes},
                {"unreadable_bytes", trailer.unreadable_bytes},
                {"data_end_position_bytes", trailer.data_end_position_bytes},
                {"header", {{"bytes", trailer.header_bytes}, {"sha256", to_hex(trailer.header_sha256)}}},
                {"sums", {{"bytes", trailer.sums_bytes}, {"sha256", to_hex(trailer.sums_sha256)}}},
                {"index",
                 {{"bytes", trailer.index_bytes},
                  {"sha256", to_hex(trailer.index_sha256)},
                  {"position_bytes", trailer.index_position_bytes}}},
                {"restore", {{"bytes", trailer.restore_bytes}, {"sha256", to_hex(trailer.restore_sha256)}}},
                {"merkle_root", to_hex(trailer.merkle_root)},
                {"check", kUnsealed}};
  if (trailer.image_merkle_root) value["image_merkle_root"] = to_hex(*trailer.image_merkle_root);
  if (trailer.md5) value["md5"] = *trailer.md5;
  if (trailer.sha256) value["sha256"] = *trailer.sha256;
  auto text = dump(value);
  assert(text.size() < kTrailerBytes);
  text.append(kTrailerBytes - 1 - text.size(), ' ');
  text += '\n';
  return seal(std::move(text));
}

Result<ImageTrailer> decode_trailer(std::string_view text) {
  const std::string name(kTrailerName);
  if (text.size() != kTrailerBytes)
    return fail(ErrorCode::kDiffers, "{}: {} bytes, expected {}", name, text.size(), kTrailerBytes);
  DRSEED_TRY(check_seal(text, name));
  const auto value = DRSEED_TRY(parse_json_object(text, name));
  JsonFields fields(value, name);
  DRSEED_TRY(check_version(fields));
  ImageTrailer trailer;
  trailer.image_id = take_id(fields, "image_id");
  trailer.disk_bytes = fields.number("disk_bytes", kDiskBytesMax);
  trailer.segment_bytes = take_segment_bytes(fields);
  trailer.codec = take_codec(fields, "codec");
  trailer.volume = static_cast<std::uint32_t>(fields.number("volume", kU32Max));
  trailer.volumes = static_cast<std::uint32_t>(fields.number("volumes", kU32Max));
  trailer.last = fields.flag("last");
  auto range = fields.object("range");
  trailer.range.offset_bytes = take_range_offset(range, "offset_bytes", trailer.disk_bytes, trailer.segment_bytes);
  trailer.range.length_bytes = range.number("length_bytes", trailer.disk_bytes - trailer.range.offset_bytes);
  fields.merge(range);
  trailer.data_segments = fields.number("data_segments", kU63Max);
  trailer.first_ordinal = fields.number("first_ordinal", kU63Max);
  trailer.data_bytes = fields.number("data_bytes", kU63Max);
  trailer.stored_bytes = fields.number("stored_bytes", kU63Max);
  trailer.unreadable_bytes = fields.number("unreadable_bytes", kU63Max);
  trailer.data_end_position_bytes = fields.number("data_end_position_bytes", kU63Max);
  const auto take_part = [&](std::string_view key, std::uint64_t bytes_max, std::uint64_t& bytes, Digest256& digest) {
    auto part = fields.object(key);
    bytes = part.number("bytes", bytes_max);
    part.hex("sha256", digest);
    fields.merge(part);
  };
  take_part("header", kHeaderBytesMax, trailer.header_bytes, trailer.header_sha256);
  take_part("sums", kMemberBytesMax, trailer.sums_bytes, trailer.sums_sha256);
  take_part("index", kMemberBytesMax, trailer.index_bytes, trailer.index_sha256);
  take_part("restore", kRestoreBytesMax, trailer.restore_bytes, trailer.restore_sha256);
  auto index = fields.object("index");
  trailer.index_position_bytes = index.number("position_bytes", kU63Max / 2);
  fields.merge(index);
  fields.hex("merkle_root", trailer.merkle_root);
  if (fields.has("image_merkle_root")) fields.hex("image_merkle_root", trailer.image_merkle_root.emplace());
  trailer.md5 = take_optional_hex(fields, "md5", 32);
  trailer.sha256 = take_optional_hex(fields, "sha256", 64);
  if (trailer.volume == 0) fields.refuse("volume", "is 0");
  DRSEED_TRY(fields.result());
  return trailer;
}

}  // namespace drseed::seed
