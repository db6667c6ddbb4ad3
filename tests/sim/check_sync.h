#pragma once
// Acknowledged sync writes and flushes survive the loss of the source. For each write the oracle keeps which nodes must
// hold it: at its acknowledgement the source and the sync members of the in-sync set; after a power cut only those for
// which a flush was acknowledged; none that a resync overwrites; and who ends a resync holds what its source held.

#include "tests/sim/clients.h"

namespace drseed::sim {

class SyncChecker {
 public:
  explicit SyncChecker(WorldView& world) : world_(world) {}

  void acknowledged(const Request& request);  // a write, zero or flush, without an error
  void replaced(replicator::NodeIndex node);
  void power_lost(replicator::NodeIndex node);
  void resync_frame(replicator::NodeIndex target, std::uint64_t session);
  void resync_ended(replicator::NodeIndex source, replicator::NodeIndex target);  // the source sends kResyncEnd
  void in_sync(replicator::NodeIndex source, replicator::NodeIndex target);
  // A node came into service without force: what it must hold is on its disk.
  void check(replicator::NodeIndex node);

 private:
  WorldView& world_;
  struct Ended {
    std::uint64_t session = 0;
    std::vector<WriteId> held;
  };
  std::array<std::array<Ended, replicator::kNodesMax>, replicator::kNodesMax> ended_;
  std::array<std::uint64_t, replicator::kNodesMax> overwritten_in_{};  // session
  std::array<Serial, replicator::kNodesMax> power_lost_at_{};
};

}  // namespace drseed::sim
