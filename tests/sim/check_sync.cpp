#include "tests/sim/check_sync.h"

#include <algorithm>

namespace drseed::sim {

using namespace replicator;

void SyncChecker::acknowledged(const Request& request) {
  const auto& engine = world_.node(request.node).engine();
  NodeMask holders = mask_of(request.node);
  for (NodeIndex node = 0; node < world_.node_count(); ++node) {
    if ((engine.in_sync() >> node & 1) != 0 && engine.record().members[node].sync) holders |= mask_of(node);
  }
  if (request.write != 0) {
    auto& write = world_.oracle.write(request.write);
    if (request.fua) write.durable |= holders;
    for (NodeIndex node = 0; node < world_.node_count(); ++node) {  // it said "written", then it lost power
      if (!request.fua && power_lost_at_[node] > write.submitted) holders &= ~mask_of(node);
    }
    write.held |= holders;
    return;
  }
  for (const auto id : world_.oracle.reign(request.reign).writes) {
    auto& write = world_.oracle.write(id);
    if (write.acked != 0 && write.acked < request.submitted) write.durable |= write.held & holders;
  }
}

void SyncChecker::power_lost(NodeIndex node) {
  power_lost_at_[node] = world_.context.tick_serial();
  for (auto& write : world_.oracle.writes()) {
    if ((write.durable & mask_of(node)) == 0) write.held &= ~mask_of(node);
  }
}

void SyncChecker::replaced(NodeIndex node) {
  power_lost_at_[node] = world_.context.tick_serial();
  for (auto& write : world_.oracle.writes()) {
    write.held &= ~mask_of(node);
    write.durable &= ~mask_of(node);
  }
}

void SyncChecker::resync_frame(NodeIndex target, std::uint64_t session) {
  if (overwritten_in_[target] == session) return;
  overwritten_in_[target] = session;
  for (auto& write : world_.oracle.writes()) {
    write.held &= ~mask_of(target);
    write.durable &= ~mask_of(target);
  }
}

void SyncChecker::resync_ended(NodeIndex source, NodeIndex target) {
  auto& ended = ended_[source][target];
  ended.session = world_.network.session_of(source, target);
  ended.held.clear();
  for (const auto& write : world_.oracle.writes()) {
    if ((write.held & mask_of(source)) != 0) ended.held.push_back(write.id);
  }
}

void SyncChecker::in_sync(NodeIndex source, NodeIndex target) {
  const auto& ended = ended_[source][target];
  const auto session = world_.network.session_of(source, target);
  if (session == 0 || ended.session != session) return;
  if (world_.network.session_of(target, source) != session) return;  // the target is gone meanwhile
  for (const auto id : ended.held) {
    auto& write = world_.oracle.write(id);
    write.held |= mask_of(target);
    write.durable |= mask_of(target);
  }
}

void SyncChecker::check(NodeIndex node) {
  const auto& disk = world_.node(node).disk().visible();
  const auto& oracle = world_.oracle;
  std::vector<std::vector<WriteId>> zeroes(disk.size());
  for (const auto& write : world_.oracle.writes()) {
    if (!write.zero) continue;
    for (auto sector = write.first; sector < write.first + write.count; ++sector) zeroes[sector].push_back(write.id);
  }
  for (const auto& write : world_.oracle.writes()) {
    if ((write.held & mask_of(node)) == 0) continue;
    for (auto sector = write.first; sector < write.first + write.count; ++sector) {
      if (oracle.holds(disk[sector], write, sector, zeroes[sector])) continue;
      return world_.context.violate(
          "sync", "n{}: comes into service without acknowledged write {} of n{}: sector {} holds write {}", node,
          write.id, oracle.reign(write.reign).node, sector, write_of(disk[sector]));
    }
  }
}

}  // namespace drseed::sim
