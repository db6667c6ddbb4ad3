#include "base/id.h"

#include <sys/random.h>

#include <cassert>

#include "base/hex.h"

namespace drseed {
namespace {

constexpr std::array<std::size_t, 4> kDashes{8, 13, 18, 23};

}  // namespace

Id random_id() {
  Id id;
  const ssize_t got = getrandom(id.bytes.data(), id.bytes.size(), 0);
  assert(got == static_cast<ssize_t>(id.bytes.size()));  // up to 256 bytes cannot come short (getrandom(2))
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x40);
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

std::string to_string(const Id& id) {
  auto text = to_hex(id.bytes);
  for (auto dash : kDashes) text.insert(dash, 1, '-');
  return text;
}

Result<Id> parse_id(std::string_view text) {
  std::string digits(text);
  const bool shape = text.size() == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-';
  if (shape) {
    for (auto dash = kDashes.rbegin(); dash != kDashes.rend(); ++dash) digits.erase(*dash, 1);
  }
  Id id;
  if (!shape || !from_hex(digits, id.bytes)) return fail(ErrorCode::kDiffers, "'{}' is not a UUID", text);
  return id;
}

}  // namespace drseed
