#pragma once
// Messages for people on standard error, through spdlog: "drseed: warning: ...". Standard output belongs to results.

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <string>

namespace drseed::log {

// Call once at the start of a program. The level comes from $DRSEED_LOG (debug, info, warning, error), else info.
void start(const std::string& program);

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace drseed::log
