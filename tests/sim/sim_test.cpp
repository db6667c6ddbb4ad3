// A short run of the simulator; drseed-sim does the long ones.

#include <gtest/gtest.h>

#include "tests/sim/world.h"

namespace drseed::sim {
namespace {

void run_seeds(std::uint64_t first, std::uint64_t count, unsigned nodes) {
  Stats stats;
  for (auto seed = first; seed < first + count; ++seed) {
    World world({seed, nodes, replicator::Bug::kNone, false}, stats);
    world.run();
    ASSERT_FALSE(world.violation()) << "seed " << seed << ", " << nodes << " nodes, by " << world.violation()->checker
                                    << ": " << world.violation()->text << "\n"
                                    << world.trace().last_lines();
  }
}

// Histories of two and three members grow to four by seeds.

TEST(Sim, TwoNodesHoldEveryRule) {
  run_seeds(701001, 600, 2);
}

TEST(Sim, ThreeNodesHoldEveryRule) {
  run_seeds(701700, 600, 3);
}

TEST(Sim, FourNodesHoldEveryRule) {
  run_seeds(701870, 450, 4);
}

TEST(Sim, SameSeedGivesTheSameTrace) {
  Stats stats;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::array<std::uint64_t, 2> hashes{};
    for (auto& hash : hashes) {
      World world({seed, std::nullopt, replicator::Bug::kNone, false}, stats);
      world.run();
      hash = world.trace().hash();
    }
    EXPECT_EQ(hashes[0], hashes[1]) << "seed " << seed;
  }
}

}  // namespace
}  // namespace drseed::sim
