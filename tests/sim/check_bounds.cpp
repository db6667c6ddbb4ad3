#include "tests/sim/check_bounds.h"

namespace drseed::sim {

void check_bounds(WorldView& world, SimNode& node) {
  const auto& parameters = world.context.parameters;
  const auto limit = parameters.settings.remembered_max + parameters.queue_depth + 1;
  if (node.engine().remembered_writes() > limit) {
    world.context.violate("bounds", "n{}: remembers {} writes, at most {} expected", node.index(),
                          node.engine().remembered_writes(), limit);
  }
  if (node.engine().record().lineage.size() > replicator::kLineageMax)
    world.context.violate("bounds", "n{}: {} generations", node.index(), node.engine().record().lineage.size());
}

}  // namespace drseed::sim
