#pragma once
// 128-bit random identities (images, mirrors, seeds), written as a UUID of version 4.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drseed {

struct Id {
  std::array<std::uint8_t, 16> bytes{};
  bool operator==(const Id&) const = default;
  auto operator<=>(const Id&) const = default;
};

// From the kernel's random generator.
Id random_id();

// "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", lower case.
std::string to_string(const Id& id);

// Accepts exactly what to_string writes, in either case.
Result<Id> parse_id(std::string_view text);

}  // namespace drseed
