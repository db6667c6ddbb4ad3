#pragma once
// Operators: they promote and demote, pause and resume, consent, name victims, at random but legal moments; and at the
// end they bring the mirror into order, by what the nodes say of themselves.

#include <map>
#include <string>

#include "tests/sim/world_view.h"

namespace drseed::sim {

class Operators {
 public:
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void commanded(replicator::NodeIndex node, replicator::CommandKind kind, replicator::NodeIndex peer) = 0;
  };
  Operators(WorldView& world, Watcher& watcher) : world_(world), watcher_(watcher) { forget_rows(); }

  void begin();  // promotes node 0
  void handle(const Scheduled& scheduled);
  void stop() { stopped_ = true; }
  void command_done(replicator::NodeIndex node, const replicator::CommandDone& done);
  void node_lost(replicator::NodeIndex node);
  void notices(replicator::NodeIndex node, const replicator::Notice& notice);
  // Confirmed to be fenced for a promotion that is under way: it stays down.
  bool is_fenced(replicator::NodeIndex node) const;
  bool is_force_under_way(replicator::NodeIndex node) const;
  bool is_promoting(replicator::NodeIndex node) const { return is_pending(node, replicator::CommandKind::kPromote); }
  replicator::NodeMask fenced_for(replicator::NodeIndex node) const;

  // One round of bringing everything into order. Faults have ended, all nodes are up.
  void heal();
  std::string last_refusal() const { return refusal_; }

 private:
  struct Pending {
    replicator::NodeIndex node = 0;
    replicator::CommandKind kind = replicator::CommandKind::kPromote;
    replicator::NodeMask mask = 0;
    bool force = false;
  };
  void command(replicator::NodeIndex node, replicator::CommandKind kind,
               replicator::NodeIndex peer = replicator::kNoNode, replicator::NodeMask mask = 0, bool force = false);
  bool is_pending(replicator::NodeIndex node, replicator::CommandKind kind) const;
  void promote_random();
  bool is_of_this_mirror(replicator::NodeIndex node) const;
  void hand_over(replicator::NodeIndex source, replicator::NodeIndex peer);
  void act_at_source(replicator::NodeIndex source);
  void consent(replicator::NodeIndex source, replicator::NodeIndex peer);
  void name_victim(replicator::NodeIndex victim);
  void heal_without_source();
  void heal_targets(replicator::NodeIndex source);
  std::optional<replicator::Row> row_of(replicator::NodeIndex source, replicator::NodeIndex peer) const;
  void forget_rows();
  void schedule();

  WorldView& world_;
  Watcher& watcher_;
  bool stopped_ = false;
  std::uint64_t last_command_ = 0;
  std::map<std::uint64_t, Pending> pending_;
  std::array<std::array<int, replicator::kNodesMax>, replicator::kNodesMax> rows_{};  // of the last decision; -1: none
  std::string refusal_;
  replicator::NodeIndex heir_ = replicator::kNoNode;  // is promoted once the source is out of service
  // Healing.
  unsigned rounds_ = 0;
  unsigned rounds_alone_ = 0;  // without a source
  unsigned tried_ = 0;
  replicator::NodeIndex first_choice_ = 0;
  replicator::NodeIndex next_source_ = replicator::kNoNode;  // who is newer than the source
};

}  // namespace drseed::sim
