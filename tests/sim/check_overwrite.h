#pragma once
// Nobody is overwritten against the table, and no more than must be.
//
// The rule knows nothing of generations. Each acknowledged write belongs to the nodes that were to have it: at its
// acknowledgement the source and those that the source counted as its followers; later, whoever becomes equal to one of
// them. A node is overwritten only by one to which everything belongs that belongs to it: what a source acknowledged in
// the belief that the other follows may be undone by that other, what it acknowledged knowing better may not. Otherwise
// an operator must have named the victim or consented to a full resync. Without consent only blocks cross that one of
// the two has in its map for the other when the resync begins, or that are written meanwhile; and consent is not asked
// for where both have tracked every change.

#include "tests/sim/clients.h"

namespace drseed::sim {

class OverwriteChecker {
 public:
  explicit OverwriteChecker(WorldView& world) : world_(world) {}

  void submitted(const Request& request);     // a write or zero
  void acknowledged(const Request& request);  // without an error
  void stepped(replicator::NodeIndex node);
  void crashed(replicator::NodeIndex node);  // as its file now says
  void sends(replicator::NodeIndex node, replicator::NodeIndex peer, const replicator::Frame& frame);
  void arrives(replicator::NodeIndex from, replicator::NodeIndex to, std::uint64_t session,
               const replicator::Frame& frame);
  void commanded(replicator::NodeIndex node, replicator::CommandKind kind, replicator::NodeIndex peer);
  void decided(replicator::NodeIndex source, replicator::NodeIndex target, replicator::Row row);
  void mismatch(replicator::NodeIndex source, replicator::NodeIndex target, std::uint64_t offset_bytes,
                std::uint64_t length_bytes);
  void forced(replicator::NodeIndex node);  // into service
  // Another disk, another record. `foreign`: of a history that the others do not know.
  void replaced(replicator::NodeIndex node, bool foreign);
  // The target has said in this session that it is in sync: what is resynced now repairs what a verify found.
  bool follows(replicator::NodeIndex source, replicator::NodeIndex target, std::uint64_t session) {
    return pair(source, target).consistent_in == session;
  }

 private:
  using Blocks = std::vector<bool>;
  struct Pair {  // [source][target]
    bool consent = false;
    bool full = false;           // in this session with consent
    std::uint64_t begun_in = 0;  // sessions
    std::uint64_t overwritten_in = 0;
    std::uint64_t consistent_in = 0;  // the session in which the target has said that it is in sync
    Blocks allowed;
  };
  void overwritten(replicator::NodeIndex source, replicator::NodeIndex target, std::uint64_t session);
  void check_blocks(replicator::NodeIndex source, replicator::NodeIndex target, const replicator::ByteRange& range);
  void allow(Pair& pair, const bitmap::DirtyBitmap& map);
  void allow(Pair& pair, std::uint64_t first_sector, std::uint64_t count);
  // Its own, or on its disk.
  bool has(replicator::NodeIndex node, const Write& write);
  // All of it, or what came after it, is on its disk.
  bool holds(replicator::NodeIndex node, const Write& write);
  void forget(replicator::NodeIndex node);
  void become_equal(replicator::NodeIndex source, replicator::NodeIndex target);
  Pair& pair(replicator::NodeIndex source, replicator::NodeIndex target) { return pairs_[source][target]; }

  WorldView& world_;
  std::array<std::array<Pair, replicator::kNodesMax>, replicator::kNodesMax> pairs_;
  std::array<bool, replicator::kNodesMax> victim_{};
  std::array<bool, replicator::kNodesMax> inconsistent_{};
  replicator::NodeMask replaced_ = 0;  // their maps do not tell everything
  bool any_foreign_ = false;
  bool any_forced_ = false;
};

}  // namespace drseed::sim
