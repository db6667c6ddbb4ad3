#pragma once
// Bytes as lower-case hexadecimal text and back.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace drseed {

std::string to_hex(std::span<const std::uint8_t> bytes);

// Fills `out` from exactly 2 * out.size() hexadecimal digits of either case. False if the text is anything else.
[[nodiscard]] bool from_hex(std::string_view text, std::span<std::uint8_t> out);

}  // namespace drseed
