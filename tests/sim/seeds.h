#pragma once
// Operators who seed new members: they open a seed on the source, image its disk while writes go on, take the passport,
// and send the image by courier; on arrival the mirror is extended and the new member joins with a partial resync. Some
// make mistakes on the way: a seed dropped or opened again meanwhile, a passport of another mirror, of another history,
// or none, an image with damaged blocks. And every member learns of every other, late if it was down.

#include <map>
#include <string>

#include "tests/sim/world_view.h"

namespace drseed::sim {

class Seeds {
 public:
  static constexpr std::uint64_t kFirstCommand = std::uint64_t{1} << 62;  // ids of its commands begin here
  class Hand {
   public:
    virtual ~Hand() = default;
    // A new node at the next index. `seeded`: its passport is meant to be right. `clean`: nothing stands in the way of
    // a partial resync by `source`.
    struct Join {
      replicator::NodeRecord record;
      Tags disk;
      std::vector<std::uint64_t> damaged;  // blocks
      replicator::NodeIndex source = replicator::kNoNode;
      bool foreign = false;
      bool clean = false;
      std::uint32_t reign = 0;  // in which the image was taken
      Serial opened = 0;
    };
    virtual void join(const Join& join) = 0;
    virtual void became_member(replicator::NodeIndex node, replicator::NodeIndex peer) = 0;
  };
  Seeds(WorldView& world, Hand& hand) : world_(world), hand_(hand) {}

  void begin();
  void handle(const Scheduled& scheduled);  // kSeed; number 0: perhaps a new flow, else the flow
  void command_done(replicator::NodeIndex node, const replicator::CommandDone& done);
  void node_lost(replicator::NodeIndex node);
  // No new flows; those under way end or are given up. Then heal() goes on until all know each other.
  void stop();
  void heal() { spread_members(); }
  bool all_know_each_other() const;

 private:
  enum class Step { kOpening, kImaging, kTravelling, kExtending, kOver };
  enum class Mistake { kNone, kDropped, kReopened, kOtherMirror, kOtherSize, kForeign, kBlank, kOtherSeed };
  struct Flow {
    Id id;
    replicator::NodeIndex source = 0;
    std::uint32_t reign = kNoReign;
    Step step = Step::kOpening;
    Mistake mistake = Mistake::kNone;
    bool joins = false;  // else the courier never arrives, and the seed is dropped
    Serial opened = 0;
    Tags image;
    std::uint64_t cursor = 0;  // sectors imaged
    std::optional<replicator::Engine::Passport> passport;
    replicator::NodeIndex extended_by = replicator::kNoNode;
    std::uint32_t extended_in = kNoReign;
    bool with_seed = false;  // the extending
  };
  struct Pending {
    replicator::NodeIndex node = 0;
    replicator::CommandKind kind = replicator::CommandKind::kOpenSeed;
    replicator::NodeIndex peer = replicator::kNoNode;
    std::size_t flow = 0;  // from 1; 0: none
  };
  void begin_flow();
  void advance(std::size_t number);
  void image(std::size_t number);
  void travelled(std::size_t number);
  void extend(std::size_t number);
  void join(std::size_t number);
  void give_up(std::size_t number);
  void spread_members();
  void command(replicator::NodeIndex node, replicator::CommandKind kind, const Id& seed, std::size_t flow,
               replicator::NodeIndex peer = replicator::kNoNode);
  void schedule(std::size_t number, Time least, Time most);
  bool is_pending(replicator::NodeIndex node, replicator::NodeIndex peer) const;
  bool still_reigns(const Flow& flow) const;
  replicator::NodeIndex next_index() const { return static_cast<replicator::NodeIndex>(world_.nodes.size()); }

  WorldView& world_;
  Hand& hand_;
  bool stopped_ = false;
  std::vector<Flow> flows_;
  std::size_t extending_ = 0;  // the flow whose node takes the next index; 0: none
  std::uint64_t last_command_ = kFirstCommand;
  std::map<std::uint64_t, Pending> pending_;
  unsigned joins_ = 0;
};

}  // namespace drseed::sim
