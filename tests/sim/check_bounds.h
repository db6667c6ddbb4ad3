#pragma once
// What the core promises to bound is bounded, after every step.

#include "tests/sim/world_view.h"

namespace drseed::sim {

void check_bounds(WorldView& world, SimNode& node);

}  // namespace drseed::sim
