#include "base/printable.h"

#include <fmt/format.h>

namespace drseed {

std::string printable(std::string_view name) {
  constexpr std::size_t kPrintableMax = 200;
  std::string text;
  for (char c : name.substr(0, kPrintableMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\') {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  if (name.size() > kPrintableMax) text += "...";
  return text;
}

}  // namespace drseed
