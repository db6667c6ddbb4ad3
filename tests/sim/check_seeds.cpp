#include "tests/sim/check_seeds.h"

#include <algorithm>

namespace drseed::sim {

using namespace replicator;

NodeView view_of(const NodeRecord& record, NodeIndex peer) {
  NodeView view;
  view.mirror = record.mirror;
  view.volume_bytes = record.volume_bytes;
  view.node = record.self;
  view.lineage = record.lineage;
  view.low = record.low;
  view.high = record.high;
  view.inconsistent = record.inconsistent;
  view.slot_valid = record.peers[peer].slot_valid;
  view.base = record.peers[peer].base;
  view.map_empty = false;
  view.seed = record.seed;
  return view;
}

void check_joined(WorldView& world, NodeIndex node, const Seeds::Hand::Join& join) {
  if (!join.clean) return;
  const auto& source = world.node(join.source).engine();
  const auto decision = decide(source.view_for(node), view_of(join.record, join.source));
  if (decision.resync != Resync::kPartial) {
    return world.context.violate("seeds",
                                 "n{} was seeded properly by n{}, which asks for more than a partial resync: {}", node,
                                 join.source, decision.why);
  }
  const auto per_block = world.context.parameters.sectors_per_block();
  const auto& writes = world.oracle.reign(join.reign).writes;
  Serial oldest = join.opened;  // begin of what was under way then: it is dirty with all that came after it
  for (const auto id : writes) {
    const auto& write = world.oracle.write(id);
    if (write.acked == 0 || write.acked > join.opened) oldest = std::min(oldest, write.submitted);
  }
  std::vector<bool> written(world.context.parameters.file.block_count());
  for (const auto id : writes) {
    const auto& write = world.oracle.write(id);
    if (write.acked != 0 && write.acked < oldest) continue;
    for (auto block = write.first / per_block; block <= (write.first + write.count - 1) / per_block; ++block)
      written[block] = true;
  }
  const auto& slot = source.slot(node);
  for (std::uint64_t block = 0; block < written.size(); ++block) {
    if (!slot.test(block) || written[block]) continue;
    return world.context.violate("seeds", "n{}: block {} is dirty for n{}, though it was not written since the seed",
                                 join.source, block, node);
  }
}

}  // namespace drseed::sim
