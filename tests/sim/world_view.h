#pragma once
// What checkers and operators see of a world: its nodes, its network, the oracle, and each node's reign.

#include "tests/sim/network.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim_node.h"

namespace drseed::sim {

constexpr std::uint32_t kNoReign = ~std::uint32_t{0};

struct WorldView {
  Context& context;
  Oracle& oracle;
  Network& network;
  std::vector<std::unique_ptr<SimNode>>& nodes;
  std::array<std::uint32_t, replicator::kNodesMax> reign_of;  // kNoReign: not in service

  unsigned first_members = 0;  // with which the history began
  // Members whose disks are older than what the others know of them: their own record does not show it. Until a resync.
  replicator::NodeMask set_back = 0;

  SimNode& node(replicator::NodeIndex index) { return *nodes[index]; }
  unsigned node_count() const { return static_cast<unsigned>(nodes.size()); }
  replicator::NodeMask up_mask() const {
    replicator::NodeMask mask = 0;
    for (const auto& each : nodes) mask |= each->up() ? replicator::mask_of(each->index()) : 0;
    return mask;
  }
  replicator::NodeMask all_mask() const {
    return replicator::mask_of(static_cast<replicator::NodeIndex>(nodes.size())) - 1;
  }
  // The only node in service, or kNoNode.
  replicator::NodeIndex only_source() const {
    auto found = replicator::kNoNode;
    for (const auto& each : nodes) {
      if (!each->in_service()) continue;
      if (found != replicator::kNoNode) return replicator::kNoNode;
      found = each->index();
    }
    return found;
  }
  unsigned sources() const {
    unsigned count = 0;
    for (const auto& each : nodes) count += each->in_service();
    return count;
  }
};

}  // namespace drseed::sim
