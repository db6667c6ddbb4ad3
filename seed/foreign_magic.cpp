#include "seed/foreign_magic.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>

#include "base/digest.h"
#include "base/endian.h"

namespace drseed::seed {
namespace {

using namespace std::string_view_literals;

bool starts_with(Bytes bytes, std::string_view magic) {
  return as_text(bytes).starts_with(magic);
}

// RFC 1952: magic, method deflate, no reserved flag.
bool is_gzip(Bytes start) {
  return starts_with(start, "\x1f\x8b\x08"sv) && (start.size() < 4 || (start[3] & 0xe0) == 0);
}

// "BZh", the level, and the magic of a block or of the end of an empty stream.
bool is_bzip2(Bytes start) {
  if (!starts_with(start, "BZh"sv) || start.size() < 4 || start[3] < '1' || start[3] > '9') return false;
  const auto rest = as_text(start.subspan(4, std::min<std::size_t>(6, start.size() - 4)));
  return "\x31\x41\x59\x26\x53\x59"sv.starts_with(rest) || "\x17\x72\x45\x38\x50\x90"sv.starts_with(rest);
}

// An octal field as tar writes it: spaces, digits, then a space or NUL.
std::optional<std::uint64_t> octal(Bytes field) {
  std::size_t i = 0;
  while (i < field.size() && field[i] == ' ') ++i;
  const std::size_t first = i;
  std::uint64_t value = 0;
  for (; i < field.size() && field[i] >= '0' && field[i] <= '7'; ++i) value = value * 8 + (field[i] - '0');
  const bool ended = i == field.size() || field[i] == ' ' || field[i] == 0;
  if (i == first || !ended) return std::nullopt;
  return value;
}

// POSIX.1-1988 ustar header: the checksum is the sum of all bytes with its own field taken as spaces.
bool is_tar(Bytes start) {
  constexpr std::size_t kHeaderBytes = 512;
  constexpr std::size_t kChecksumAt = 148;
  constexpr std::size_t kChecksumBytes = 8;
  constexpr std::size_t kMagicAt = 257;
  if (start.size() < kHeaderBytes || !starts_with(start.subspan(kMagicAt), "ustar"sv)) return false;
  const auto field = start.subspan(kChecksumAt, kChecksumBytes);
  const auto sum_of = [](Bytes bytes) { return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}); };
  return octal(field) == sum_of(start.first(kHeaderBytes)) - sum_of(field) + kChecksumBytes * ' ';
}

Bytes without_skippable_frames(Bytes start) {
  constexpr std::size_t kHeaderBytes = 8;
  while (start.size() > kHeaderBytes && (start[0] & 0xf0) == 0x50 && starts_with(start.subspan(1), "\x2a\x4d\x18"sv)) {
    const std::size_t length = start[4] | start[5] << 8 | start[6] << 16 | std::size_t{start[7]} << 24;
    if (length > start.size() - kHeaderBytes) break;
    start = start.subspan(kHeaderBytes + length);
  }
  return start;
}

}  // namespace

ForeignMagic recognise_foreign(Bytes start) {
  if (is_gzip(start)) return ForeignMagic::kGzip;
  if (starts_with(start, "\xfd\x37\x7a\x58\x5a\x00"sv)) return ForeignMagic::kXz;
  if (is_bzip2(start)) return ForeignMagic::kBzip2;
  const Bytes frame = without_skippable_frames(start);
  if (starts_with(frame, "\x28\xb5\x2f\xfd"sv)) return ForeignMagic::kZstd;
  if (starts_with(frame, "\x04\x22\x4d\x18"sv)) return ForeignMagic::kLz4;
  if (starts_with(frame, "\x02\x21\x4c\x18"sv)) return ForeignMagic::kLz4Legacy;
  if (starts_with(start, "PK\x03\x04"sv)) return ForeignMagic::kZip;
  if (starts_with(start, "PK\x05\x06"sv)) return ForeignMagic::kEmptyZip;
  if (is_tar(start)) return ForeignMagic::kTar;
  return ForeignMagic::kRaw;
}

bool is_compression(ForeignMagic magic) {
  return magic == ForeignMagic::kGzip || magic == ForeignMagic::kXz || magic == ForeignMagic::kBzip2 ||
         magic == ForeignMagic::kZstd || magic == ForeignMagic::kLz4;
}

std::string_view name_of(ForeignMagic magic) {
  switch (magic) {
    case ForeignMagic::kRaw:
      return "raw";
    case ForeignMagic::kGzip:
      return "gzip";
    case ForeignMagic::kXz:
      return "xz";
    case ForeignMagic::kBzip2:
      return "bzip2";
    case ForeignMagic::kZstd:
      return "zstd";
    case ForeignMagic::kLz4:
      return "lz4";
    case ForeignMagic::kLz4Legacy:
      return "legacy lz4";
    case ForeignMagic::kTar:
      return "tar";
    case ForeignMagic::kZip:
    case ForeignMagic::kEmptyZip:
      return "zip";
  }
  return "";
}

std::string_view without_suffix(std::string_view name, ForeignMagic compression) {
  struct Suffix {
    ForeignMagic compression;
    std::string_view text;
  };
  constexpr std::array<Suffix, 6> kSuffixes{{
      {ForeignMagic::kGzip, ".gz"},
      {ForeignMagic::kXz, ".xz"},
      {ForeignMagic::kBzip2, ".bz2"},
      {ForeignMagic::kZstd, ".zst"},
      {ForeignMagic::kZstd, ".zstd"},
      {ForeignMagic::kLz4, ".lz4"},
  }};
  for (const auto& suffix : kSuffixes) {
    const bool fits = suffix.compression == compression && name.size() > suffix.text.size();
    if (fits && name.ends_with(suffix.text)) return name.substr(0, name.size() - suffix.text.size());
  }
  return name;
}

}  // namespace drseed::seed
