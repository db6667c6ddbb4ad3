#pragma once
// The invariant: every block in which the disks of two members differ is in a map of one for the other, wherever both
// maps are valid. Of running nodes the engine's maps count, of the others what their files say.

#include "tests/sim/world_view.h"

namespace drseed::sim {

// As everything is now.
void check_invariant(WorldView& world);
// The pairs of one node only: it has just crashed.
void check_invariant_of(WorldView& world, replicator::NodeIndex node);
// As it would be if all lost power now.
struct CrashImages {
  std::vector<SimNode::Image> images;  // by node
};
void check_invariant_of(WorldView& world, CrashImages& images);

}  // namespace drseed::sim
