#pragma once
// The names of the core's deliberate mistakes.

#include <optional>
#include <string_view>
#include <vector>

#include "tests/sim/context.h"

namespace drseed::sim {

// "" is none. Nothing: there is no such bug.
std::optional<replicator::Bug> bug_named(std::string_view name);
std::vector<std::string_view> bug_names();

// The first seed at which a checker objects to the bug, and none to the same history without it. That a history does
// not come to rest ("rest") does not count: anything may cause it.
struct Caught {
  std::uint64_t seed = 0;
  std::uint64_t seeds_needed = 0;
  Violation violation;
};
std::optional<Caught> catch_bug(replicator::Bug bug, std::uint64_t first_seed, std::uint64_t seeds);

}  // namespace drseed::sim
