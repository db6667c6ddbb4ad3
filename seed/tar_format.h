#pragma once
// The tar that carries a seed image: POSIX ustar headers and one pax comment record per segment (seed/FORMAT.md). Pure.
//
// Every byte of a header is determined by the few facts in TarMember, and decoding accepts exactly the bytes that
// encoding writes. So a flipped bit anywhere in a header is seen, and an archive that another tool re-packed is told
// from ours. Source: IEEE Std 1003.1-2017, pax, "ustar Interchange Format" and "pax Extended Header".

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"

namespace drseed::seed {

constexpr std::size_t kTarBlockBytes = 512;
constexpr std::size_t kTarEndBytes = 2 * kTarBlockBytes;  // two zero blocks end an archive

struct UstarHeader {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link_name[100];
  char magic[6];
  char version[2];
  char user_name[32];
  char group_name[32];
  char device_major[8];
  char device_minor[8];
  char prefix[155];
  char padding[12];
};
static_assert(sizeof(UstarHeader) == kTarBlockBytes && alignof(UstarHeader) == 1);
static_assert(offsetof(UstarHeader, checksum) == 148 && offsetof(UstarHeader, prefix) == 345);

enum class TarType : char { kFile = '0', kPax = 'x' };

struct TarMember {
  TarType type = TarType::kFile;
  std::string name;                 // at most 99 bytes
  std::uint64_t size_bytes = 0;     // less than 8 GiB
  std::uint64_t mtime_seconds = 0;  // less than 2^33

  bool operator==(const TarMember&) const = default;
};

using TarBlock = std::array<std::uint8_t, kTarBlockBytes>;

// Precondition: the limits named in TarMember.
TarBlock encode_tar_header(const TarMember& member);

// Nothing if the block is not, to the bit, a header that encode_tar_header writes.
std::optional<TarMember> decode_tar_header(std::span<const std::uint8_t, kTarBlockBytes> block);

// Bytes of zero that follow a member's content up to the next block.
constexpr std::uint64_t tar_padding_bytes(std::uint64_t size_bytes) {
  return (kTarBlockBytes - size_bytes % kTarBlockBytes) % kTarBlockBytes;
}
constexpr std::uint64_t tar_padded_bytes(std::uint64_t size_bytes) {
  return size_bytes + tar_padding_bytes(size_bytes);
}

// "LENGTH comment=TEXT\n", the pax record that every tar program reads past in silence.
std::string encode_pax_comment(std::string_view text);

// The text of a pax header that holds exactly one comment record; nothing otherwise.
std::optional<std::string_view> decode_pax_comment(std::string_view content);

}  // namespace drseed::seed
