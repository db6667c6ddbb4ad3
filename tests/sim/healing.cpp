// The operators' part at the end of a history: exactly one node in service, every other one in sync with it.

#include <algorithm>

#include "tests/sim/operators.h"

namespace drseed::sim {

using namespace replicator;

void Operators::heal() {
  ++rounds_;
  const auto sources = world_.sources();
  if (sources == 0) return heal_without_source();
  rounds_alone_ = tried_ = 0;
  const auto source = world_.only_source();
  if (source != kNoNode) return heal_targets(source);
  // Split brain: whoever is the first stays.
  bool first = true;
  for (auto& each : world_.nodes) {
    if (!each->in_service()) continue;
    if (!first && !is_pending(each->index(), CommandKind::kDemote)) command(each->index(), CommandKind::kDemote);
    first = false;
  }
}

// Sources return by themselves at first; then each is asked in turn; when all have refused, one is forced.
void Operators::heal_without_source() {
  if (++rounds_alone_ < 15 || rounds_alone_ % 5 != 0) return;
  const auto count = world_.node_count();
  if (next_source_ != kNoNode && tried_ == 0) {
    ++tried_;
    first_choice_ = next_source_;
    next_source_ = kNoNode;
    return command(first_choice_, CommandKind::kPromote);
  }
  if (tried_ == 0) first_choice_ = static_cast<NodeIndex>(world_.context.random.below(count));
  const auto node = static_cast<NodeIndex>((first_choice_ + tried_) % count);
  if (tried_ < 2 * count) {
    ++tried_;
    if (!is_pending(node, CommandKind::kPromote)) command(node, CommandKind::kPromote);
    return;
  }
  world_.context.stats.add(Count::kHealForced);
  NodeIndex best = 0;
  const auto rank = [&](NodeIndex each) {
    const auto& record = world_.node(each).record();
    return !is_of_this_mirror(each) * 16 + record.lineage.empty() * 8 + record.inconsistent * 4 + record.outdated * 2 +
           record.data_corrupt;
  };
  for (NodeIndex each = 1; each < count; ++each) {
    if (rank(each) < rank(best)) best = each;
  }
  tried_ = 0;
  command(best, CommandKind::kPromote, kNoNode, 0, true);
}

void Operators::heal_targets(NodeIndex source) {
  const auto& engine = world_.node(source).engine();
  for (NodeIndex peer = 0; peer < world_.node_count(); ++peer) {
    if (peer == source) continue;
    if ((engine.in_sync() >> peer & 1) != 0) {
      const bool rotten = world_.node(peer).disk().rot() != world_.node(source).disk().rot();
      if (rotten && !is_pending(source, CommandKind::kVerify)) command(source, CommandKind::kVerify, peer, 0, true);
      continue;
    }
    if (engine.record().peers[peer].paused) {
      if (!is_pending(source, CommandKind::kResume)) command(source, CommandKind::kResume, peer);
      continue;
    }
    const auto row = row_of(source, peer);
    if (!row || rounds_ % 5 != 0) continue;
    if (*row == Row::kSplitBrain) {
      name_victim(peer);
    } else if (*row == Row::kNewerPeer) {
      next_source_ = peer;
      if (!is_pending(source, CommandKind::kDemote)) command(source, CommandKind::kDemote);
      return;
    } else {
      consent(source, peer);
    }
  }
}

}  // namespace drseed::sim
