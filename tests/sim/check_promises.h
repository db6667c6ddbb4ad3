#pragma once
// Who comes into service without force has the word of a majority, itself and what the operator fenced included; a
// member gives its word for a counter to one node only, and never for a smaller counter than before; nobody
// inconsistent or outdated comes into service; and what a member that gave its word has of the same history, the
// promoted one has too.

#include <map>

#include "tests/sim/operators.h"

namespace drseed::sim {

class PromiseChecker {
 public:
  PromiseChecker(WorldView& world, const Operators& operators) : world_(world), operators_(operators) {}

  void stepped(replicator::NodeIndex node);
  void sends(replicator::NodeIndex node, replicator::NodeIndex peer, const replicator::Frame& frame);
  void arrives(replicator::NodeIndex from, replicator::NodeIndex to, const replicator::Frame& frame);
  void crashed(replicator::NodeIndex node);
  void replaced(replicator::NodeIndex node);  // its word is lost with its disk
  void in_sync(replicator::NodeIndex target) { fresh_ |= replicator::mask_of(target); }
  void in_service(replicator::NodeIndex node, bool forced);

 private:
  struct Given {
    replicator::Promise last;           // the largest, and who has it
    std::vector<WriteId> held;          // when it was given: writes on its disk
    replicator::Generation generation;  // of its data then
  };
  void check_unforced(replicator::NodeIndex node);
  void check_pulled(replicator::NodeIndex node, replicator::NodeIndex from);

  WorldView& world_;
  const Operators& operators_;
  std::array<Given, replicator::kNodesMax> given_;
  std::array<std::map<std::uint64_t, replicator::NodeMask>, replicator::kNodesMax> got_;  // by counter
  replicator::NodeMask unfit_ = 0;                         // inconsistent or outdated, while not in service
  replicator::NodeMask fresh_ = ~replicator::NodeMask{0};  // no crash since it was in sync
};

}  // namespace drseed::sim
