#include "tests/sim/operators.h"

#include <algorithm>
#include <utility>

namespace drseed::sim {

using namespace replicator;

void Operators::forget_rows() {
  for (auto& each : rows_) each.fill(-1);
}

void Operators::begin() {
  command(0, CommandKind::kPromote);
  schedule();
}

void Operators::schedule() {
  auto& context = world_.context;
  context.scheduler.after(context.random.between(1000, context.parameters.operator_time),
                          {0, 0, Kind::kOperator, 0, 0, 0, 0});
}

void Operators::command(NodeIndex node, CommandKind kind, NodeIndex peer, NodeMask mask, bool force) {
  auto& stats = world_.context.stats;
  if (kind == CommandKind::kPromote && !is_of_this_mirror(node)) return;
  const auto id = ++last_command_;
  pending_[id] = {node, kind, mask, force};
  switch (kind) {
    case CommandKind::kPromote:
      stats.add(Count::kPromoteAsked);
      if (mask != 0) stats.add(Count::kFenced);
      break;
    case CommandKind::kPause:
      stats.add(Count::kPauses);
      break;
    case CommandKind::kResume:
      stats.add(Count::kResumes);
      break;
    case CommandKind::kDiscard:
      stats.add(Count::kDiscards);
      break;
    case CommandKind::kChecksum:
      stats.add(Count::kChecksums);
      stats.add(Count::kConsents);
      break;
    case CommandKind::kFullResync:
      stats.add(Count::kConsents);
      break;
    case CommandKind::kVerify:
      stats.add(Count::kVerifies);
      break;
    default:
      break;
  }
  Command sent;
  sent.id = id;
  sent.kind = kind;
  sent.peer = peer;
  sent.mask = mask;
  sent.force = force;
  watcher_.commanded(node, kind, peer);
  world_.node(node).post(sent);
}

void Operators::command_done(NodeIndex node, const CommandDone& done) {
  const auto found = pending_.find(done.id);
  if (found == pending_.end() || found->second.node != node)
    return world_.context.violate("replies", "n{}: command {} is done, which is not under way", node, done.id);
  const auto kind = found->second.kind;
  pending_.erase(found);
  if (kind == CommandKind::kPromote && !done.ok) {
    world_.context.stats.add(Count::kPromoteRefused);
    refusal_ = fmt::format("n{}: {}", node, done.text);
  }
  if (kind != CommandKind::kDemote) return;
  if (done.ok) world_.context.stats.add(Count::kDemoted);
  const auto heir = std::exchange(heir_, kNoNode);
  if (done.ok && heir != kNoNode && world_.node(heir).up() && !stopped_) command(heir, CommandKind::kPromote);
}

void Operators::node_lost(NodeIndex node) {
  std::erase_if(pending_, [&](const auto& each) { return each.second.node == node; });
  rows_[node].fill(-1);
}

void Operators::notices(NodeIndex node, const Notice& notice) {
  if (notice.kind == NoticeKind::kDecision && notice.peer < kNodesMax) rows_[node][notice.peer] = notice.row;
  if (notice.kind == NoticeKind::kInSync && notice.peer < kNodesMax) rows_[node][notice.peer] = -1;
  if (notice.kind == NoticeKind::kOutOfService || notice.kind == NoticeKind::kStandAside) rows_[node].fill(-1);
}

bool Operators::is_fenced(NodeIndex node) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const auto& each) { return (each.second.mask >> node & 1) != 0; });
}

NodeMask Operators::fenced_for(NodeIndex node) const {
  NodeMask mask = 0;
  for (const auto& [id, each] : pending_) {
    if (each.node == node && each.kind == CommandKind::kPromote) mask |= each.mask;
  }
  return mask;
}

bool Operators::is_force_under_way(NodeIndex node) const {
  return std::any_of(pending_.begin(), pending_.end(), [&](const auto& each) {
    return each.second.node == node && each.second.kind == CommandKind::kPromote && each.second.force;
  });
}

bool Operators::is_pending(NodeIndex node, CommandKind kind) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const auto& each) { return each.second.node == node && each.second.kind == kind; });
}

void Operators::handle(const Scheduled&) {
  if (stopped_) return;
  auto& random = world_.context.random;
  const auto source = world_.only_source();
  if (source != kNoNode) {
    act_at_source(source);
  } else if (world_.sources() == 0) {
    if (random.percent(70)) promote_random();
  } else if (random.percent(50)) {  // two in service: one must give way
    for (auto& each : world_.nodes) {
      if (!each->in_service()) continue;
      command(each->index(), CommandKind::kDemote);
      break;
    }
  }
  schedule();
}

bool Operators::is_of_this_mirror(NodeIndex node) const {
  const auto& record = world_.node(node).record();
  const auto& file = world_.context.parameters.file;
  return record.mirror == file.mirror_id && record.volume_bytes == file.volume_bytes;
}

void Operators::hand_over(NodeIndex source, NodeIndex peer) {
  world_.context.stats.add(Count::kHandovers);
  heir_ = peer;
  command(source, CommandKind::kDemote);
}

void Operators::promote_random() {
  auto& random = world_.context.random;
  const auto node = static_cast<NodeIndex>(random.below(world_.node_count()));
  if (!world_.node(node).up() || is_pending(node, CommandKind::kPromote)) return;
  // Fencing is confirmed only of nodes that are down, and they stay down until the promotion has an end.
  const auto down = world_.all_mask() & ~world_.up_mask();
  const bool force = random.percent(world_.node(node).record().data_corrupt ? 50 : 7);
  command(node, CommandKind::kPromote, kNoNode, random.percent(60) ? down : 0, force);
}

void Operators::act_at_source(NodeIndex source) {
  auto& random = world_.context.random;
  const auto peer = static_cast<NodeIndex>((source + 1 + random.below(world_.node_count() - 1)) % world_.node_count());
  const auto choice = random.below(120);
  if (choice < 30) {
    const bool paused = world_.node(source).record().peers[peer].paused;
    command(source, paused ? CommandKind::kResume : CommandKind::kPause, peer);
  } else if (choice < 40) {
    hand_over(source, peer);
  } else if (choice < 52) {
    command(source, CommandKind::kDemote);
  } else if (choice < 64) {  // the others have lost sight of the source, perhaps
    if (world_.node(peer).up() && !world_.network.connected(peer, source) && !is_pending(peer, CommandKind::kPromote))
      command(peer, CommandKind::kPromote, kNoNode, 0, random.percent(7));
  } else if (choice < 85) {
    consent(source, peer);
  } else if (choice < 92) {
    if (row_of(source, peer) == Row::kSplitBrain) name_victim(peer);
  } else if (choice < 105) {
    command(source, CommandKind::kVerify, peer, 0, random.percent(70));
  }
}

std::optional<Row> Operators::row_of(NodeIndex source, NodeIndex peer) const {
  if (rows_[source][peer] < 0) return std::nullopt;
  return static_cast<Row>(rows_[source][peer]);
}

void Operators::consent(NodeIndex source, NodeIndex peer) {
  const auto row = row_of(source, peer);
  if (!row) return;
  if (*row != Row::kBeforeBase && *row != Row::kBlank && *row != Row::kForeign && *row != Row::kInconsistentElsewhere &&
      *row != Row::kSeed)
    return;
  if (!world_.node(source).engine().explain(peer).starts_with("blocked")) return;
  command(source, world_.context.random.percent(50) ? CommandKind::kFullResync : CommandKind::kChecksum, peer);
}

void Operators::name_victim(NodeIndex victim) {
  if (world_.node(victim).up() && !world_.node(victim).in_service()) command(victim, CommandKind::kDiscard);
}

}  // namespace drseed::sim
