#include "tests/sim/check_promises.h"

#include <algorithm>
#include <bit>

namespace drseed::sim {

using namespace replicator;

void PromiseChecker::stepped(NodeIndex node) {
  const auto& record = world_.node(node).engine().record();
  if (record.in_service) return;
  unfit_ &= ~mask_of(node);
  if (record.inconsistent || record.outdated) unfit_ |= mask_of(node);
}

void PromiseChecker::sends(NodeIndex node, NodeIndex peer, const Frame& frame) {
  if (frame.type != FrameType::kPromiseAnswer || (frame.flags & kFlagYes) == 0) return;
  auto& given = given_[node];
  const bool other = given.last.node != kNoNode && given.last.node != peer;
  if (frame.number < given.last.counter || (frame.number == given.last.counter && other)) {
    return world_.context.violate("promises", "n{}: promises {} to n{}, and has promised {} to n{}", node, frame.number,
                                  peer, given.last.counter, given.last.node);
  }
  given.last = {frame.number, peer};
  given.held.clear();
  const auto& record = world_.node(node).record();
  if (record.lineage.empty() || record.inconsistent || record.outdated || (fresh_ & mask_of(node)) == 0) return;
  given.generation = record.lineage.back().generation;
  const auto& disk = world_.node(node).disk().visible();
  const auto& oracle = world_.oracle;
  for (const auto& write : world_.oracle.writes()) {
    if (write.zero || write.acked == 0 || (write.owners & mask_of(node)) == 0) continue;
    bool held = true;
    for (auto sector = write.first; held && sector < write.first + write.count; ++sector)
      held = disk[sector] == tag_of(write.id, sector) || oracle.holds(disk[sector], write, sector, {});
    if (held) given.held.push_back(write.id);
  }
}

void PromiseChecker::arrives(NodeIndex from, NodeIndex to, const Frame& frame) {
  if (frame.type == FrameType::kPromiseAnswer && (frame.flags & kFlagYes) != 0) got_[to][frame.number] |= mask_of(from);
  if (frame.type == FrameType::kPromiseRelease && given_[to].last == Promise{frame.number, from})
    given_[to].last.node = kNoNode;
}

void PromiseChecker::crashed(NodeIndex node) {
  got_[node].clear();
  fresh_ &= ~mask_of(node);
  if (world_.node(node).record().in_service) unfit_ &= ~mask_of(node);  // it came into service, and could not say so
}

void PromiseChecker::replaced(NodeIndex node) {
  given_[node] = {};
  unfit_ &= ~mask_of(node);
}

void PromiseChecker::in_service(NodeIndex node, bool forced) {
  if (!forced) check_unforced(node);
  unfit_ &= ~mask_of(node);
}

void PromiseChecker::check_unforced(NodeIndex node) {
  const auto counter = world_.node(node).engine().record().promise.counter;
  const auto fenced = operators_.fenced_for(node);
  const auto got = got_[node][counter];
  NodeMask table = 0;  // as it knows the members: of two tables, one member apart, any two majorities meet
  for (NodeIndex member = 0; member < kNodesMax; ++member) {
    if (world_.node(node).engine().record().members[member].present) table |= mask_of(member);
  }
  const auto is_majority = [&](NodeMask known) {
    const auto count = std::popcount((got | mask_of(node) | fenced) & known);
    const auto members = std::popcount(known);
    return count >= (members <= 2 ? members : members / 2 + 1);
  };
  // The newest member may have been added since the word was asked for.
  const auto newest = static_cast<unsigned>(std::bit_width(table)) - 1;
  if (!is_majority(table) && !(newest >= world_.first_members && is_majority(table & ~(NodeMask{1} << newest)))) {
    return world_.context.violate("promises", "n{}: comes into service under {} with the word of {:#x}, fenced {:#x}",
                                  node, counter, got, fenced);
  }
  if ((unfit_ & mask_of(node)) != 0)
    return world_.context.violate("promises", "n{}: comes into service inconsistent or outdated", node);
  if (!operators_.is_promoting(node)) return;  // it returns by itself
  for (NodeIndex from = 0; from < world_.node_count(); ++from) {
    if (from != node && (got & ~fenced & mask_of(from)) != 0 && given_[from].last == Promise{counter, node})
      check_pulled(node, from);
  }
}

void PromiseChecker::check_pulled(NodeIndex node, NodeIndex from) {
  const auto& lineage = world_.node(node).engine().record().lineage;
  const auto& given = given_[from];
  // Of the generation that this reign continues: what somebody has beyond an earlier fork is undone.
  const bool same_history = lineage.size() >= 2 && lineage[lineage.size() - 2].generation == given.generation;
  if (!same_history) return;
  const auto& disk = world_.node(node).disk().visible();
  const auto& oracle = world_.oracle;
  for (const auto id : given.held) {
    const auto& write = oracle.write(id);
    for (auto sector = write.first; sector < write.first + write.count; ++sector) {
      if (oracle.holds(disk[sector], write, sector, oracle.reign(write.reign).by_sector[sector]) || disk[sector] == 0)
        continue;
      return world_.context.violate("promises",
                                    "n{}: comes into service without acknowledged write {}, which n{} has and promised",
                                    node, id, from);
    }
  }
}

}  // namespace drseed::sim
