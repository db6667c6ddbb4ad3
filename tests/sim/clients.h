#pragma once
// Applications at whatever node is in service: reads, writes, zeroes and flushes, up to a queue depth, overlapping at
// times. What they learn goes to the oracle and to whoever checks replies.

#include <unordered_map>

#include "tests/sim/world_view.h"

namespace drseed::sim {

struct ReadPiece {
  std::uint64_t first = 0;
  Tags tags;
};

struct Request {
  std::uint64_t id = 0;
  replicator::RequestKind kind = replicator::RequestKind::kRead;
  replicator::NodeIndex node = 0;
  std::uint32_t reign = 0;
  std::uint64_t first = 0, count = 0;  // sectors
  bool fua = false;
  WriteId write = 0;
  Serial submitted = 0;
  std::vector<ReadPiece> pieces;  // of a read: what came from the disk
};

class Clients {
 public:
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void submitted(const Request& request) = 0;  // a write or zero
  };
  Clients(WorldView& world, Watcher& watcher) : world_(world), watcher_(watcher) {}

  void begin(replicator::NodeIndex node);  // came into service
  void node_lost(replicator::NodeIndex node);
  void handle(const Scheduled& scheduled);
  void has_read(std::uint64_t request, std::uint64_t first, const Tags& tags);
  // The request that this answers; nothing: there is none (a violation).
  std::optional<Request> replied(replicator::NodeIndex node, const replicator::Reply& reply);
  void stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }
  unsigned outstanding(replicator::NodeIndex node) const { return outstanding_[node]; }
  void flush(replicator::NodeIndex node);

 private:
  void submit_random(replicator::NodeIndex node);
  void submit(Request request);
  void schedule(replicator::NodeIndex node);

  WorldView& world_;
  Watcher& watcher_;
  bool stopped_ = false;
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, Request> requests_;
  std::array<unsigned, replicator::kNodesMax> outstanding_{};
};

}  // namespace drseed::sim
