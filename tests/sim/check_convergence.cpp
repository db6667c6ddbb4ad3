#include "tests/sim/check_convergence.h"

namespace drseed::sim {

using namespace replicator;

std::string why_not_in_sync(WorldView& world) {
  const auto source = world.only_source();
  if (source == kNoNode) return fmt::format("{} nodes in service", world.sources());
  const auto& engine = world.node(source).engine();
  for (NodeIndex peer = 0; peer < world.node_count(); ++peer) {
    if (!world.node(peer).up()) return fmt::format("n{} is down", peer);
    if (peer != source && (engine.in_sync() >> peer & 1) == 0)
      return fmt::format("n{} is not in sync with n{}: {}", peer, source, engine.explain(peer));
  }
  for (NodeIndex peer = 0; peer < world.node_count(); ++peer) {
    if (world.node(peer).disk().rot() != world.node(source).disk().rot())
      return fmt::format("n{} has rot that n{} has not, or the other way", peer, source);
  }
  return {};
}

std::string why_not_quiet(WorldView& world) {
  if (auto why = why_not_in_sync(world); !why.empty()) return why;
  const auto source = world.only_source();
  for (NodeIndex node = 0; node < world.node_count(); ++node) {
    const auto& found = world.node(node);
    if (!found.idle()) return fmt::format("n{} has operations under way", node);
    if (!found.engine().idle()) return fmt::format("n{}'s engine is not idle", node);
    if (node == source) {
      const auto remembered = found.engine().remembered_writes();
      if (remembered > 0) return fmt::format("n{} still remembers {} writes", node, remembered);
      continue;
    }
    const auto dirty = world.node(source).engine().slot(node).dirty_count();
    if (dirty > 0) return fmt::format("{} blocks are dirty in n{}'s slot for n{}", dirty, source, node);
  }
  return {};
}

void check_convergence(WorldView& world) {
  const auto source = world.only_source();
  const auto& expected = world.node(source).disk().visible();
  for (NodeIndex node = 0; node < world.node_count(); ++node) {
    auto& found = world.node(node);
    if (found.payloads().size() > 0)
      world.context.violate("payload", "n{}: {} payloads were not released", node, found.payloads().size());
    const auto& disk = found.disk().visible();
    for (std::uint64_t sector = 0; sector < disk.size(); ++sector) {
      if (disk[sector] == expected[sector]) continue;
      return world.context.violate("convergence", "n{} is in sync with n{}, but sector {} holds write {}, not write {}",
                                   node, source, sector, write_of(disk[sector]), write_of(expected[sector]));
    }
    const auto& record = found.record();
    if (record.inconsistent || record.outdated || record.data_corrupt) {
      return world.context.violate("convergence",
                                   "n{} is in sync, but says inconsistent={} outdated={} data_corrupt={}", node,
                                   record.inconsistent, record.outdated, record.data_corrupt);
    }
  }
}

}  // namespace drseed::sim
