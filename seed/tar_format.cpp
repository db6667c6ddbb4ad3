#include "seed/tar_format.h"

#include <fmt/format.h>

#include <cassert>
#include <charconv>
#include <cstring>

namespace drseed::seed {
namespace {

constexpr std::uint64_t kOctal11Max = (std::uint64_t{1} << 33) - 1;

template <std::size_t kSize>
void put_octal(char (&field)[kSize], std::uint64_t value) {
  const auto text = fmt::format("{:0{}o}", value, kSize - 1);
  assert(text.size() == kSize - 1);
  std::memcpy(field, text.data(), text.size());
}

template <std::size_t kSize>
std::optional<std::uint64_t> get_octal(const char (&field)[kSize]) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(field, field + kSize - 1, value, 8);
  if (error != std::errc{} || end != field + kSize - 1) return std::nullopt;
  return value;
}

unsigned checksum_of(const UstarHeader& header) {
  UstarHeader copy = header;
  std::memset(copy.checksum, ' ', sizeof copy.checksum);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&copy);
  unsigned sum = 0;
  for (std::size_t i = 0; i < sizeof copy; ++i) sum += bytes[i];
  return sum;
}

}  // namespace

TarBlock encode_tar_header(const TarMember& member) {
  assert(member.name.size() < sizeof(UstarHeader::name));
  assert(member.size_bytes <= kOctal11Max && member.mtime_seconds <= kOctal11Max);
  UstarHeader header{};
  std::memcpy(header.name, member.name.data(), member.name.size());
  put_octal(header.mode, 0644);
  put_octal(header.uid, 0);
  put_octal(header.gid, 0);
  put_octal(header.size, member.size_bytes);
  put_octal(header.mtime, member.mtime_seconds);
  header.type = static_cast<char>(member.type);
  std::memcpy(header.magic, "ustar", sizeof header.magic);
  std::memcpy(header.version, "00", sizeof header.version);
  put_octal(header.device_major, 0);
  put_octal(header.device_minor, 0);
  const auto sum = fmt::format("{:06o}", checksum_of(header));
  std::memcpy(header.checksum, sum.data(), sum.size());
  header.checksum[7] = ' ';
  TarBlock block;
  std::memcpy(block.data(), &header, sizeof header);
  return block;
}

std::optional<TarMember> decode_tar_header(std::span<const std::uint8_t, kTarBlockBytes> block) {
  UstarHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  const auto size = get_octal(header.size);
  const auto mtime = get_octal(header.mtime);
  if (!size || !mtime || (header.type != '0' && header.type != 'x')) return std::nullopt;
  const std::size_t name_length = strnlen(header.name, sizeof header.name);
  if (name_length == 0 || name_length == sizeof header.name) return std::nullopt;
  TarMember member{static_cast<TarType>(header.type), std::string(header.name, name_length), *size, *mtime};
  const auto expected = encode_tar_header(member);
  if (std::memcmp(expected.data(), block.data(), block.size()) != 0) return std::nullopt;
  return member;
}

std::string encode_pax_comment(std::string_view text) {
  const auto rest = fmt::format(" comment={}\n", text);
  std::size_t length = rest.size() + 1;
  // The length counts its own digits.
  while (fmt::formatted_size("{}", length) + rest.size() != length) ++length;
  return fmt::format("{}{}", length, rest);
}

std::optional<std::string_view> decode_pax_comment(std::string_view content) {
  constexpr std::string_view kKey = " comment=";
  const auto key = content.find(kKey);
  if (key == std::string_view::npos || content.back() != '\n') return std::nullopt;
  const auto text = content.substr(key + kKey.size(), content.size() - key - kKey.size() - 1);
  if (encode_pax_comment(text) != content) return std::nullopt;
  return text;
}

}  // namespace drseed::seed
