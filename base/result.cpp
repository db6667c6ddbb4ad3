#include "base/result.h"

#include <system_error>

namespace drseed {

std::string Error::message() const {
  if (system_errno == 0) return context;
  return fmt::format("{}: {}", context, std::generic_category().message(system_errno));
}

}  // namespace drseed
