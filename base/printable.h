#pragma once
// Names that others gave, made fit for a message. Pure.

#include <string>
#include <string_view>

namespace drseed {

// A hostile name for a message: control characters and backslashes as \xHH, cut where it is too long.
std::string printable(std::string_view name);

}  // namespace drseed
