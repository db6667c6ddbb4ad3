#pragma once
// What crashed members lose beside what was not flushed: their activity log, both disks for older snapshots of them, a
// disk for a blank one, for one of a foreign history, of another mirror or of another size.

#include "tests/sim/world_view.h"

namespace drseed::sim {

class Losses {
 public:
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void replaced(replicator::NodeIndex node, bool foreign) = 0;
  };
  Losses(WorldView& world, Watcher& watcher) : world_(world), watcher_(watcher) {}

  // After a crash, before the node starts again.
  void happen(replicator::NodeIndex node);
  // A new disk, and a record that says so. Precondition: the node is down.
  void make_blank(replicator::NodeIndex node);
  // Of another mirror or size by mistake: nothing helps but a new disk.
  bool is_misplaced(replicator::NodeIndex node) const;

 private:
  void set_back(replicator::NodeIndex node);
  void replace(replicator::NodeIndex node, const Tags& disk, const replicator::NodeRecord& record, bool foreign);
  replicator::NodeRecord new_record(replicator::NodeIndex node) const;

  WorldView& world_;
  Watcher& watcher_;
  std::array<std::optional<SimNode::Image>, replicator::kNodesMax> snapshots_;
};

}  // namespace drseed::sim
