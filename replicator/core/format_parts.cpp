#include "replicator/core/format_parts.h"

#include <cassert>

#include "bitmap/bitmap_format.h"

namespace drseed::replicator {

Result<> check_name(std::string_view field, std::string_view name) {
  if (name.size() > kNameBytesMax)
    return fail(ErrorCode::kDiffers, "{} has {} bytes, at most {}", field, name.size(), kNameBytesMax);
  if (std::any_of(name.begin(), name.end(), [](char c) { return c < 0x20 || c > 0x7e; }))
    return fail(ErrorCode::kDiffers, "{} holds a character that is not printable ASCII", field);
  return {};
}

NameBytes encode_name(std::string_view name) {
  assert(check_name("name", name));
  NameBytes bytes{};
  std::copy(name.begin(), name.end(), bytes.begin());
  return bytes;
}

Result<std::string> decode_name(std::string_view field, const NameBytes& bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), '\0');
  if (end == bytes.end() || std::any_of(end, bytes.end(), [](char c) { return c != '\0'; }))
    return fail(ErrorCode::kDiffers, "{} is not padded with NUL", field);
  std::string name(bytes.begin(), end);
  DRSEED_TRY(check_name(field, name));
  return name;
}

Result<> check_lineage(const Lineage& lineage) {
  if (lineage.size() > kLineageMax)
    return fail(ErrorCode::kDiffers, "lineage of {} generations, at most {}", lineage.size(), kLineageMax);
  for (auto entry = lineage.begin(); entry != lineage.end(); ++entry) {
    const auto again = std::find_if(std::next(entry), lineage.end(),
                                    [&](const LineageEntry& other) { return other.generation == entry->generation; });
    if (again != lineage.end())
      return fail(ErrorCode::kDiffers, "lineage holds generation {} twice", to_string(entry->generation));
  }
  return {};
}

void append_lineage(std::vector<std::uint8_t>& out, const Lineage& lineage) {
  for (const auto& [generation, forked_at] : lineage) append(out, LineageBytes{generation.bytes, forked_at});
}

Result<Lineage> decode_lineage(Bytes bytes) {
  if (bytes.size() % sizeof(LineageBytes) != 0 || bytes.size() / sizeof(LineageBytes) > kLineageMax)
    return fail(ErrorCode::kDiffers, "lineage of {} bytes: expected at most {} entries of {}", bytes.size(),
                kLineageMax, sizeof(LineageBytes));
  Lineage lineage;
  lineage.reserve(bytes.size() / sizeof(LineageBytes));
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(LineageBytes)) {
    const auto entry = struct_at<LineageBytes>(bytes, at);
    lineage.push_back({Generation{entry.generation}, entry.forked_at});
  }
  DRSEED_TRY(check_lineage(lineage));
  return lineage;
}

Result<> check_volume_bytes(std::uint64_t volume_bytes) {
  if (volume_bytes == 0 || volume_bytes > bitmap::kVolumeBytesMax || volume_bytes % bitmap::kSectorBytes != 0)
    return wrong("volume size", volume_bytes, "a multiple of 512 bytes, at most 2^56");
  return {};
}

Result<> check_node_or_none(std::string_view field, NodeIndex node) {
  if (node >= kNodesMax && node != kNoNode) return wrong(field, node, "a member, 0 to 7, or 255");
  return {};
}

Result<> check_sequences(Sequence low, Sequence high) {
  if (low > high) return fail(ErrorCode::kDiffers, "sequence low {} is above high {}", low, high);
  if (low == kAnySequence) return fail(ErrorCode::kDiffers, "sequence low is not a sequence");
  return {};
}

}  // namespace drseed::replicator
