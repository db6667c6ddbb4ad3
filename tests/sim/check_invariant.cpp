#include "tests/sim/check_invariant.h"

#include <algorithm>

#include "tests/sim/check_seeds.h"

namespace drseed::sim {
namespace {

using namespace replicator;

// One side of a pair.
struct Side {
  NodeIndex node;
  const NodeRecord& record;
  const SimDisk& disk;
  SimNode* live;     // or
  NodeStore* store;  // a crashed one's
  bool valid_for(NodeIndex peer) const {
    return !record.lineage.empty() && record.members[peer].present && record.peers[peer].slot_valid;
  }
  bitmap::DirtyBitmap map_of(NodeIndex peer) const {
    return live != nullptr ? live->map_of(peer) : store->map_of(peer);
  }
};

// A member that carries a seed has its slot by an operator's word, one that was set back has an old one: it counts if
// the table would believe it.
bool is_believed(const WorldView& world, const Side& source, const Side& target) {
  if ((world.set_back & mask_of(source.node) & ~mask_of(target.node)) != 0 && !target.record.seed) return true;
  if (!target.record.seed && (world.set_back & mask_of(target.node)) == 0) return true;
  const auto decision = decide(view_of(source.record, target.node), view_of(target.record, source.node));
  return decision.resync == Resync::kPartial || decision.resync == Resync::kNothing;
}

void check_pair(WorldView& world, const Side& a, const Side& b, const char* when) {
  if (!a.valid_for(b.node) || !b.valid_for(a.node) || !is_believed(world, a, b) || !is_believed(world, b, a)) return;
  const auto& left = a.disk.visible();
  const auto& right = b.disk.visible();
  if (left == right) return;
  const auto map_a = a.map_of(b.node);
  const auto map_b = b.map_of(a.node);
  const auto per_block = world.context.parameters.sectors_per_block();
  for (std::uint64_t sector = 0; sector < left.size(); ++sector) {
    if (left[sector] == right[sector]) continue;
    const auto block = sector / per_block;
    if (map_a.test(block) || map_b.test(block)) continue;
    return world.context.violate(
        "invariant", "{}: n{} and n{} differ in block {} (sector {}: write {} and write {}), which is in no map", when,
        a.node, b.node, block, sector, write_of(left[sector]), write_of(right[sector]));
  }
}

Side side_of(WorldView& world, NodeIndex node) {
  auto& found = world.node(node);
  return {node, found.record(), found.disk(), found.up() ? &found : nullptr, &found.store()};
}

}  // namespace

void check_invariant(WorldView& world) {
  for (NodeIndex a = 0; a < world.node_count(); ++a) {
    for (NodeIndex b = 0; b < a; ++b) check_pair(world, side_of(world, a), side_of(world, b), "now");
  }
}

void check_invariant_of(WorldView& world, NodeIndex node) {
  for (NodeIndex other = 0; other < world.node_count(); ++other) {
    if (other != node) check_pair(world, side_of(world, node), side_of(world, other), "after a crash");
  }
}

void check_invariant_of(WorldView& world, CrashImages& images) {
  const auto side = [&](NodeIndex node) {
    auto& image = images.images[node];
    return Side{node, *image.store->record(), image.disk, nullptr, image.store.get()};
  };
  for (NodeIndex a = 0; a < world.node_count(); ++a) {
    for (NodeIndex b = 0; b < a; ++b) check_pair(world, side(a), side(b), "if all crashed now");
  }
}

}  // namespace drseed::sim
