// Each deliberate mistake of the core is caught by the checker that is there for it, within so many seeds; and the same
// history without the mistake is clean.

#include <gtest/gtest.h>

#include "tests/sim/bugs.h"

namespace drseed::sim {
namespace {

struct Expected {
  const char* bug;
  std::uint64_t seeds;  // at most
};

class Bugs : public testing::TestWithParam<Expected> {};

TEST_P(Bugs, IsCaught) {
  const auto bug = bug_named(GetParam().bug);
  ASSERT_TRUE(bug);
  const auto caught = catch_bug(*bug, 1, GetParam().seeds);
  ASSERT_TRUE(caught) << "no checker objects to " << GetParam().bug << " in " << GetParam().seeds << " seeds";
}

constexpr Expected kExpected[] = {
    {"skip-activity-log", 50},
    {"clear-on-sent", 50},
    {"clear-on-written", 100},
    {"ignore-depends-on", 100},
    {"low-watermark-depends-on", 1000},
    {"ignore-overlap", 100},
    {"no-hold", 50},
    {"target-tracks-nobody", 50},
    {"source-loss-forgotten", 400},
    {"no-map-exchange", 300},
    {"no-new-generation", 400},
    {"acknowledge-sync-early", 300},
    {"acknowledge-flush-early", 300},
    {"promote-inconsistent", 200},
    {"promote-without-promise", 50},
    {"ignore-promise", 400},
    {"consistent-too-early", 1500},
    {"no-inconsistent-mark", 50},
    {"no-tail-pull", 1000},
    {"mark-too-far", 500},
    {"evict-without-flush", 3000},
    {"evict-without-bits", 200},
    {"stale-base", 100},
    {"full-without-consent", 200},
    {"old-session-frames", 1000},
    {"forget-seed-writes", 300},
    {"partial-clears-block", 300},
};

std::string name_of_test(const testing::TestParamInfo<Expected>& info) {
  std::string name;
  bool upper = true;
  for (const char* c = info.param.bug; *c != 0; ++c) {
    if (*c != '-') name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(*c))) : *c;
    upper = *c == '-';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Sim, Bugs, testing::ValuesIn(kExpected), name_of_test);

}  // namespace
}  // namespace drseed::sim
