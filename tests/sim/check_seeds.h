#pragma once
// A new member that was seeded properly needs no consent, and no more than what was written since its seed was opened
// is dirty in its slot. That nothing is missing from it, the invariant says.

#include "tests/sim/seeds.h"

namespace drseed::sim {

// The view that a node of this record has to give.
replicator::NodeView view_of(const replicator::NodeRecord& record, replicator::NodeIndex peer);

// `node` has just joined.
void check_joined(WorldView& world, replicator::NodeIndex node, const Seeds::Hand::Join& join);

}  // namespace drseed::sim
