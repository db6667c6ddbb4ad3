#pragma once
// After healing: one node in service, all others in sync with it, disks equal, maps empty, every request answered, no
// buffer left behind.

#include <string>

#include "tests/sim/world_view.h"

namespace drseed::sim {

// Why it is not quiet yet; empty: it is.
std::string why_not_in_sync(WorldView& world);
std::string why_not_quiet(WorldView& world);
// Precondition: quiet.
void check_convergence(WorldView& world);

}  // namespace drseed::sim
