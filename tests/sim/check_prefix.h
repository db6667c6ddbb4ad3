#pragma once
// A node that is not in service and whose durable record says consistent has a disk that the source's could have been:
// each sector holds what it held when the reign began or a write of the reign, and who holds a write holds all that
// were acknowledged before that one was submitted, or something later. After a power cut, until it is in sync again,
// only what was durable before counts as evidence.

#include "tests/sim/world_view.h"

namespace drseed::sim {

class PrefixChecker {
 public:
  explicit PrefixChecker(WorldView& world) : world_(world) { whole_.fill(true); }

  void power_lost(replicator::NodeIndex node) { whole_[node] = false; }
  void replaced(replicator::NodeIndex node) { whole_[node] = false; }
  // Overwritten by one that is not in service: it is as whole as that one.
  void fed(replicator::NodeIndex by, replicator::NodeIndex node) { whole_[node] = whole_[node] && whole_[by]; }
  void in_sync(replicator::NodeIndex node) { whole_[node] = true; }
  // As it is now.
  void check(replicator::NodeIndex node);
  // A disk after a power cut, the record that it has then, and what was durable before.
  void check_crashed(replicator::NodeIndex node, const replicator::NodeRecord& record, const Tags& disk,
                     const Tags& durable_before);

 private:
  void check_disk(replicator::NodeIndex node, const replicator::NodeRecord& record, const Tags& disk,
                  const Tags* evidence, const char* when);

  WorldView& world_;
  std::array<bool, replicator::kNodesMax> whole_;
};

}  // namespace drseed::sim
