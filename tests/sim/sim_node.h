#pragma once
// A member: its data disk, its bitmap file, and while it is up an engine, whose actions it carries out.
//
// It never calls the engine from within a step: what an action causes comes back as a scheduled event.

#include <deque>

#include "replicator/core/engine.h"
#include "tests/sim/context.h"
#include "tests/sim/node_store.h"
#include "tests/sim/payload_table.h"
#include "tests/sim/sim_disk.h"

namespace drseed::sim {

class SimNode;

// What of a node's actions goes on elsewhere.
class Outside {
 public:
  virtual ~Outside() = default;
  virtual void stepped(SimNode& node) = 0;  // after each step, before its actions
  virtual void sends(SimNode& node, const replicator::Send& send, const Bytes& bytes) = 0;
  virtual void replies(SimNode& node, const replicator::Reply& reply) = 0;
  virtual void has_read(SimNode& node, std::uint64_t request, std::uint64_t first, const Tags& tags) = 0;
  virtual void command_done(SimNode& node, const replicator::CommandDone& done) = 0;
  virtual void notices(SimNode& node, const replicator::Notice& notice) = 0;
};

class SimNode {
 public:
  SimNode(Context& context, Outside& outside, replicator::NodeIndex index, const replicator::NodeRecord& record);

  replicator::NodeIndex index() const { return index_; }
  bool up() const { return engine_ != nullptr; }
  const replicator::Engine& engine() const { return *engine_; }
  bool in_service() const { return up() && engine_->in_service(); }
  // The engine's while it works, else what the file says: one that gave up its disk starts from there.
  const replicator::NodeRecord& record() const { return up() && !failed ? engine_->record() : *store_->record(); }
  bitmap::DirtyBitmap map_of(replicator::NodeIndex peer);
  SimDisk& disk() { return disk_; }
  const SimDisk& disk() const { return disk_; }
  NodeStore& store() { return *store_; }
  PayloadTable& payloads() { return payloads_; }
  std::uint32_t epoch() const { return epoch_; }
  bool idle() const;  // no operation under way, nothing in the inbox

  void start();
  void crash(bool power_lost);
  // To the engine, now or with others a little later, in order. Dropped while it is down.
  void post(replicator::Event event);
  void handle(const Scheduled& scheduled);

  // What a crash of everything now would leave; the store is open.
  struct Image {
    SimDisk disk;
    std::unique_ptr<NodeStore> store;
  };
  Image what_if_crashed(Random& random) const;

  // What a node that is down has on its disks, to keep; and other disks in their place. Precondition: it is down.
  Image snapshot() const { return {disk_, std::make_unique<NodeStore>(*store_)}; }
  void put_back(const Image& image);
  void replace(const Tags& disk, const replicator::NodeRecord& record);
  void lose_log();

  bool disk_fails = false;  // every operation reports an error
  bool failed = false;      // the engine has given its disk up: only a restart helps
  unsigned disk_slow = 1;   // factor

 private:
  struct DiskJob {
    replicator::DiskOp op;
    Tags sample;  // of a read, if it was taken at its begin
    bool sampled = false;
  };
  struct Mine {
    std::uint64_t first, count;  // sectors
  };
  void step();
  void carry_out(replicator::Action& action);
  void begin_disk(const replicator::DiskOp& op);
  void end_disk(std::uint64_t op);
  void begin_store();
  void end_store();
  Scheduled mine(Kind kind, std::uint64_t number = 0) const { return {0, 0, kind, index_, 0, epoch_, number}; }

  Context& context_;
  Outside& outside_;
  const replicator::NodeIndex index_;
  SimDisk disk_;
  std::unique_ptr<NodeStore> store_;
  std::unique_ptr<replicator::Engine> engine_;
  std::uint32_t epoch_ = 0;
  PayloadTable payloads_;
  std::unordered_map<std::uint64_t, DiskJob> disk_jobs_;
  std::deque<StoreOp> store_queue_;  // the first is under way
  std::vector<replicator::Event> inbox_;
  std::vector<replicator::Event> events_;
  replicator::ActionList actions_;
};

}  // namespace drseed::sim
