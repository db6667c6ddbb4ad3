#include "tests/sim/bugs.h"

#include "tests/sim/world.h"

namespace drseed::sim {
namespace {

using replicator::Bug;

struct Named {
  std::string_view name;
  Bug bug;
};

constexpr Named kBugs[] = {
    {"skip-activity-log", Bug::kSkipActivityLog},
    {"clear-on-sent", Bug::kClearOnSent},
    {"clear-on-written", Bug::kClearOnWritten},
    {"ignore-depends-on", Bug::kIgnoreDependsOn},
    {"low-watermark-depends-on", Bug::kLowWatermarkDependsOn},
    {"ignore-overlap", Bug::kIgnoreOverlap},
    {"no-hold", Bug::kNoHold},
    {"target-tracks-nobody", Bug::kTargetTracksNobody},
    {"source-loss-forgotten", Bug::kSourceLossForgotten},
    {"no-map-exchange", Bug::kNoMapExchange},
    {"no-new-generation", Bug::kNoNewGeneration},
    {"acknowledge-sync-early", Bug::kAcknowledgeSyncEarly},
    {"acknowledge-flush-early", Bug::kAcknowledgeFlushEarly},
    {"promote-inconsistent", Bug::kPromoteInconsistent},
    {"promote-without-promise", Bug::kPromoteWithoutPromise},
    {"ignore-promise", Bug::kIgnorePromise},
    {"consistent-too-early", Bug::kConsistentTooEarly},
    {"no-inconsistent-mark", Bug::kNoInconsistentMark},
    {"no-tail-pull", Bug::kNoTailPull},
    {"mark-too-far", Bug::kMarkTooFar},
    {"evict-without-flush", Bug::kEvictWithoutFlush},
    {"evict-without-bits", Bug::kEvictWithoutBits},
    {"old-session-frames", Bug::kOldSessionFrames},
    {"forget-seed-writes", Bug::kForgetSeedWrites},
    {"partial-clears-block", Bug::kPartialClearsBlock},
    {"stale-base", Bug::kStaleBase},
    {"full-without-consent", Bug::kFullWithoutConsent},
};

}  // namespace

std::optional<Bug> bug_named(std::string_view name) {
  if (name.empty()) return Bug::kNone;
  for (const auto& each : kBugs) {
    if (each.name == name) return each.bug;
  }
  return std::nullopt;
}

std::vector<std::string_view> bug_names() {
  std::vector<std::string_view> names;
  for (const auto& each : kBugs) names.push_back(each.name);
  return names;
}

std::optional<Caught> catch_bug(Bug bug, std::uint64_t first_seed, std::uint64_t seeds) {
  Stats stats;
  const auto violation_of = [&](std::uint64_t seed, Bug tried) {
    World world({seed, std::nullopt, tried, false}, stats);
    world.run();
    return world.violation();
  };
  for (std::uint64_t i = 0; i < seeds; ++i) {
    const auto seed = first_seed + i;
    if (auto violation = violation_of(seed, bug);
        violation && violation->checker != "rest" && !violation_of(seed, Bug::kNone))
      return Caught{seed, i + 1, std::move(*violation)};
  }
  return std::nullopt;
}

}  // namespace drseed::sim
