#pragma once
// What the link protocol and the node record have in common: names, lineages, checks of values. Pure.

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/endian.h"
#include "base/result.h"
#include "replicator/core/types.h"

namespace drseed::replicator {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kNameBytesMax = 47;
using NameBytes = std::array<char, kNameBytesMax + 1>;  // padded with NUL
using IdBytes = std::array<std::uint8_t, 16>;

struct LineageBytes {
  IdBytes generation;
  ul64 forked_at;
};
static_assert(sizeof(LineageBytes) == 24 && alignof(LineageBytes) == 1);

inline bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

template <typename Struct>
void append(std::vector<std::uint8_t>& out, const Struct& item) {
  static_assert(alignof(Struct) == 1);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&item);
  out.insert(out.end(), bytes, bytes + sizeof item);
}

// Precondition: the bytes hold it whole.
template <typename Struct>
Struct struct_at(Bytes bytes, std::size_t offset) {
  static_assert(alignof(Struct) == 1);
  Struct item;
  const auto part = bytes.subspan(offset, sizeof item);
  std::memcpy(&item, part.data(), part.size());
  return item;
}

// XXH3-64 of a struct whose last field is its check.
template <typename Struct>
std::uint64_t check_of(const Struct& item) {
  return XXH3_64bits(&item, sizeof item - sizeof(ul64));
}

// `result`, with `what` before the error's text.
template <typename T>
Result<T> within(std::string_view what, Result<T> result) {
  if (!result) result.error().context = fmt::format("{}: {}", what, result.error().context);
  return result;
}

inline tl::unexpected<Error> wrong(std::string_view field, std::uint64_t found, std::string_view expected) {
  return fail(ErrorCode::kDiffers, "{} {}: expected {}", field, found, expected);
}

// At most kNameBytesMax bytes of printable ASCII.
Result<> check_name(std::string_view field, std::string_view name);
NameBytes encode_name(std::string_view name);
Result<std::string> decode_name(std::string_view field, const NameBytes& bytes);

// At most kLineageMax generations, none twice.
Result<> check_lineage(const Lineage& lineage);
void append_lineage(std::vector<std::uint8_t>& out, const Lineage& lineage);
// The bytes are nothing but a lineage.
Result<Lineage> decode_lineage(Bytes bytes);

// A multiple of 512 bytes, at most 2^56, not 0.
Result<> check_volume_bytes(std::uint64_t volume_bytes);
// A member's index, or kNoNode.
Result<> check_node_or_none(std::string_view field, NodeIndex node);
// low <= high, and low is a sequence.
Result<> check_sequences(Sequence low, Sequence high);

}  // namespace drseed::replicator
