#pragma once
// A history: some members, their disks and links, clients, faults, operators and checkers, all from one seed. First
// everything happens at random; then faults end, operators bring order, and all must become equal and quiet.

#include "tests/sim/check_overwrite.h"
#include "tests/sim/check_prefix.h"
#include "tests/sim/check_promises.h"
#include "tests/sim/check_sync.h"
#include "tests/sim/clients.h"
#include "tests/sim/faults.h"
#include "tests/sim/losses.h"
#include "tests/sim/operators.h"
#include "tests/sim/seeds.h"

namespace drseed::sim {

class World : Outside,
              Network::Receiver,
              Faults::Hand,
              Clients::Watcher,
              Operators::Watcher,
              Seeds::Hand,
              Losses::Watcher {
 public:
  World(const Options& options, Stats& stats);

  // To its end, or to the first violation.
  void run();
  const std::optional<Violation>& violation() const { return context_.violation; }
  const Trace& trace() const { return context_.trace; }
  Time duration() const { return context_.scheduler.now(); }
  std::uint64_t events() const { return events_; }

 private:
  enum class Phase { kBusy, kSettling, kFlushing, kQuiet, kOver };

  // Outside
  void stepped(SimNode& node) override;
  void sends(SimNode& node, const replicator::Send& send, const Bytes& bytes) override;
  void replies(SimNode& node, const replicator::Reply& reply) override;
  void has_read(SimNode& node, std::uint64_t request, std::uint64_t first, const Tags& tags) override;
  void command_done(SimNode& node, const replicator::CommandDone& done) override;
  void notices(SimNode& node, const replicator::Notice& notice) override;
  // Network::Receiver
  bool is_up(replicator::NodeIndex node) override { return nodes_[node]->up(); }
  bool know_each_other(replicator::NodeIndex a, replicator::NodeIndex b) override {
    return nodes_[a]->record().members[b].present && nodes_[b]->record().members[a].present;
  }
  void link_up(replicator::NodeIndex node, replicator::NodeIndex peer, std::uint64_t session) override;
  void link_down(replicator::NodeIndex node, replicator::NodeIndex peer) override;
  void arrives(replicator::NodeIndex from, replicator::NodeIndex to, std::uint64_t session, replicator::Frame frame,
               const Bytes& bytes) override;
  void arrives_late(replicator::NodeIndex from, replicator::NodeIndex to, std::uint64_t session,
                    replicator::Frame frame, const Bytes& bytes) override;
  // Clients::Watcher, Operators::Watcher
  void submitted(const Request& request) override { overwrite_.submitted(request); }
  void commanded(replicator::NodeIndex node, replicator::CommandKind kind, replicator::NodeIndex peer) override {
    overwrite_.commanded(node, kind, peer);
  }
  // Faults::Hand
  void crash(replicator::NodeIndex node, bool power_lost) override;
  void restart(replicator::NodeIndex node) override;
  void lose_something(replicator::NodeIndex node) override { losses_.happen(node); }
  void repair(replicator::NodeIndex node) override;
  bool may_restart(replicator::NodeIndex node) override { return !operators_.is_fenced(node); }

  // Seeds::Hand
  void join(const Join& join) override;
  void became_member(replicator::NodeIndex node, replicator::NodeIndex peer) override {
    network_.try_session(node, peer);
  }
  // Losses::Watcher
  void replaced(replicator::NodeIndex node, bool foreign) override;

  void handle(const Scheduled& scheduled);
  void in_service(SimNode& node, bool forced);
  void out_of_service(replicator::NodeIndex node);
  void check_now();
  void check_what_if();
  void begin_healing();
  void heal();
  void mismatch(SimNode& node, const replicator::Notice& notice);
  void count_frame(const replicator::Frame& frame);

  Context context_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  Network network_;
  Oracle oracle_;
  WorldView view_;
  Clients clients_;
  Faults faults_;
  Operators operators_;
  Seeds seeds_;
  Losses losses_;
  SyncChecker sync_;
  PrefixChecker prefix_;
  OverwriteChecker overwrite_;
  PromiseChecker promises_;
  Phase phase_ = Phase::kBusy;
  unsigned rounds_ = 0;
  replicator::NodeMask data_corrupt_ = 0;
  std::uint64_t events_ = 0;
};

}  // namespace drseed::sim
