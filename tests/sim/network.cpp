#include "tests/sim/network.h"

#include <algorithm>

namespace drseed::sim {

using replicator::NodeIndex;

bool Network::send(NodeIndex from, NodeIndex to, const replicator::Frame& frame, const Bytes& bytes) {
  const auto session = known_[from][to];
  if (session == 0) return false;
  if (link(from, to).session != session) return true;  // lost
  auto& queue = queues_[from][to];
  auto due = context_.scheduler.now() + delay() * std::max(1u, slow_[from][to]);
  due = std::max(due, stalled_until_[from][to]);
  if (!queue.empty()) due = std::max(due, queue.back().due);
  queue.push_back({due, session, frame, bytes});
  schedule_first(from, to);
  return true;
}

void Network::schedule_first(NodeIndex from, NodeIndex to) {
  const auto& queue = queues_[from][to];
  if (queue.empty() || scheduled_[from][to]) return;
  scheduled_[from][to] = true;
  context_.scheduler.at(queue.front().due, {0, 0, Kind::kFrame, from, to, 0, 0});
}

void Network::deliver(NodeIndex from, NodeIndex to) {
  scheduled_[from][to] = false;
  auto& queue = queues_[from][to];
  if (queue.empty()) return;
  if (queue.front().due <= context_.scheduler.now()) {
    if (known_[to][from] == queue.front().session) {
      auto message = std::move(queue.front());
      queue.pop_front();
      receiver_.arrives(from, to, message.session, std::move(message.frame), message.bytes);
    } else if (known_[to][from] == 0 && link(from, to).session == queue.front().session) {
      queue.front().due = context_.scheduler.now() + 20;  // the receiver has yet to learn of the session
    } else {
      queue.pop_front();  // of a session that is over
    }
  }
  schedule_first(from, to);
}

void Network::deliver_late(NodeIndex from, NodeIndex to) {
  for (auto& message : late_[from][to])
    receiver_.arrives_late(from, to, message.session, std::move(message.frame), message.bytes);
  late_[from][to].clear();
}

void Network::node_up(NodeIndex node) {
  for (NodeIndex peer = 0; peer < context_.parameters.nodes; ++peer) {
    if (peer != node) try_session(node, peer);
  }
}

void Network::node_down(NodeIndex node) {
  for (NodeIndex peer = 0; peer < context_.parameters.nodes; ++peer) {
    if (peer == node) continue;
    break_session(node, peer);
    known_[node][peer] = 0;
    queues_[peer][node].clear();
    late_[peer][node].clear();
  }
}

void Network::cut(NodeIndex a, NodeIndex b) {
  ++link(a, b).cuts;
  context_.trace.note(Trace::kNobody, "cut n{0} n{1}", a, b);
  break_session(a, b);
}

void Network::mend(NodeIndex a, NodeIndex b) {
  auto& cuts = link(a, b).cuts;
  if (cuts > 0) --cuts;
  context_.trace.note(Trace::kNobody, "mend n{0} n{1}", a, b);
  if (cuts == 0) try_session(a, b);
}

void Network::mend_all() {
  for (NodeIndex a = 0; a < context_.parameters.nodes; ++a) {
    for (NodeIndex b = 0; b < context_.parameters.nodes; ++b) {
      if (a == b) continue;
      slow_[a][b] = 1;
      link(a, b).cuts = 0;
      if (a < b) try_session(a, b);
    }
  }
}

void Network::stall(NodeIndex from, NodeIndex to, Time duration) {
  context_.trace.note(Trace::kNobody, "stall n{0} to n{1} for {2} us", from, to, duration);
  stalled_until_[from][to] = context_.scheduler.now() + duration;
  for (auto& message : queues_[from][to]) message.due = std::max(message.due, stalled_until_[from][to]);
}

void Network::break_session(NodeIndex a, NodeIndex b) {
  auto& broken = link(a, b);
  if (broken.session == 0) return;
  const auto session = broken.session;
  broken.session = 0;
  for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
    auto& queue = queues_[from][to];
    queue.resize(context_.random.below(queue.size() + 1));
    if (known_[to][from] == session)
      context_.scheduler.after(4 * delay(), {0, 0, Kind::kLinkDown, to, from, 0, session});
  }
}

void Network::try_session(NodeIndex a, NodeIndex b) {
  context_.scheduler.after(2 * delay(), {0, 0, Kind::kSession, a, b, 0, 0});
}

void Network::begin_session(NodeIndex a, NodeIndex b) {
  auto& begun = link(a, b);
  if (begun.session != 0 || begun.cuts > 0 || known_[a][b] != 0 || known_[b][a] != 0) return;
  if (!receiver_.is_up(a) || !receiver_.is_up(b) || !receiver_.know_each_other(a, b)) return;
  begun.session = ++last_session_;
  queues_[a][b].clear();
  queues_[b][a].clear();
  context_.scheduler.after(delay(), {0, 0, Kind::kLinkUp, a, b, 0, begun.session});
  context_.scheduler.after(delay(), {0, 0, Kind::kLinkUp, b, a, 0, begun.session});
}

void Network::handle(const Scheduled& scheduled) {
  const auto node = scheduled.node;
  const auto peer = scheduled.peer;
  switch (scheduled.kind) {
    case Kind::kFrame:
      return deliver(node, peer);
    case Kind::kSession:
      return begin_session(node, peer);
    case Kind::kLinkUp:
      if (link(node, peer).session != scheduled.number) {
        try_session(node, peer);  // over before this side learned of it
        return;
      }
      known_[node][peer] = scheduled.number;
      receiver_.link_up(node, peer, scheduled.number);
      return deliver_late(peer, node);
    case Kind::kLinkDown:
      if (known_[node][peer] != scheduled.number) return;
      known_[node][peer] = 0;
      late_[peer][node].assign(queues_[peer][node].begin(), queues_[peer][node].end());
      queues_[peer][node].clear();
      receiver_.link_down(node, peer);
      return try_session(node, peer);
    case Kind::kBreak:
      break_session(node, peer);
      return;
    case Kind::kMend:
      return mend(node, peer);
    default:
      return;
  }
}

}  // namespace drseed::sim
