#pragma once
// Links between members: frames in order within a session, delays, cuts. When a session breaks, a random part of the
// frames on their way still arrives, some of them only in the next session; each side learns of it in its own time, and
// a new session begins only when both have. Sessions' numbers ascend.

#include <array>
#include <deque>

#include "tests/sim/context.h"

namespace drseed::sim {

class Network {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual bool is_up(replicator::NodeIndex node) = 0;
    virtual bool know_each_other(replicator::NodeIndex a, replicator::NodeIndex b) = 0;
    virtual void link_up(replicator::NodeIndex node, replicator::NodeIndex peer, std::uint64_t session) = 0;
    virtual void link_down(replicator::NodeIndex node, replicator::NodeIndex peer) = 0;
    virtual void arrives(replicator::NodeIndex from, replicator::NodeIndex to, std::uint64_t session,
                         replicator::Frame frame, const Bytes& bytes) = 0;
    // Of a session that is over: the receiver must not heed it.
    virtual void arrives_late(replicator::NodeIndex from, replicator::NodeIndex to, std::uint64_t session,
                              replicator::Frame frame, const Bytes& bytes) = 0;
  };
  Network(Context& context, Receiver& receiver) : context_(context), receiver_(receiver) {}

  // Lost where the sender's session is over. False: the sender has been told that the link is down.
  bool send(replicator::NodeIndex from, replicator::NodeIndex to, const replicator::Frame& frame, const Bytes& bytes);
  void node_up(replicator::NodeIndex node);
  void node_down(replicator::NodeIndex node);
  void cut(replicator::NodeIndex a, replicator::NodeIndex b);
  void mend(replicator::NodeIndex a, replicator::NodeIndex b);
  void mend_all();
  void try_session(replicator::NodeIndex a, replicator::NodeIndex b);
  // Frames of one direction arrive later by `duration`.
  void stall(replicator::NodeIndex from, replicator::NodeIndex to, Time duration);
  void handle(const Scheduled& scheduled);

  bool is_cut(replicator::NodeIndex a, replicator::NodeIndex b) { return link(a, b).cuts > 0; }
  bool connected(replicator::NodeIndex a, replicator::NodeIndex b) const {
    return known_[a][b] != 0 && known_[a][b] == known_[b][a];
  }
  std::uint64_t session_of(replicator::NodeIndex node, replicator::NodeIndex peer) const { return known_[node][peer]; }
  void set_slow(replicator::NodeIndex from, replicator::NodeIndex to, unsigned factor) { slow_[from][to] = factor; }

 private:
  static constexpr auto kNodes = replicator::kNodesMax;
  struct Message {
    Time due = 0;
    std::uint64_t session = 0;
    replicator::Frame frame;
    Bytes bytes;
  };
  struct Link {
    unsigned cuts = 0;
    std::uint64_t session = 0;  // 0: none that works
  };
  Link& link(replicator::NodeIndex a, replicator::NodeIndex b) { return links_[std::min(a, b)][std::max(a, b)]; }
  void break_session(replicator::NodeIndex a, replicator::NodeIndex b);
  void begin_session(replicator::NodeIndex a, replicator::NodeIndex b);
  void deliver(replicator::NodeIndex from, replicator::NodeIndex to);
  void deliver_late(replicator::NodeIndex from, replicator::NodeIndex to);
  void schedule_first(replicator::NodeIndex from, replicator::NodeIndex to);
  Time delay() { return context_.random.between(10, context_.parameters.link_time); }

  Context& context_;
  Receiver& receiver_;
  std::array<std::array<Link, kNodes>, kNodes> links_;
  std::array<std::array<std::uint64_t, kNodes>, kNodes> known_{};  // [node][peer]: the session that the node has
  std::array<std::array<std::deque<Message>, kNodes>, kNodes> queues_;
  std::array<std::array<std::vector<Message>, kNodes>, kNodes> late_;  // arrive in the next session
  std::array<std::array<bool, kNodes>, kNodes> scheduled_{};
  std::array<std::array<Time, kNodes>, kNodes> stalled_until_{};
  std::array<std::array<unsigned, kNodes>, kNodes> slow_{};  // 0 and 1: not
  std::uint64_t last_session_ = 0;
};

}  // namespace drseed::sim
