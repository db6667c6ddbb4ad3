#pragma once
// How often what happened, over all histories of a run.

#include <array>
#include <cstdint>
#include <string_view>

#include "replicator/core/decide.h"

namespace drseed::sim {

enum class Count : std::uint8_t {
  kWrites,
  kZeroes,
  kReads,
  kFlushes,
  kFuaWrites,
  kReplies,
  kRequestErrors,
  kPowerCuts,
  kDaemonDeaths,
  kLinkCuts,
  kStalls,
  kIsolations,
  kInService,
  kForced,
  kPromoteAsked,
  kPromoteRefused,
  kFenced,
  kDemoted,
  kReturned,
  kPauses,
  kResumes,
  kGenerations,
  kSplitBrains,
  kDiscards,
  kStandAside,
  kPeerLost,
  kInSync,
  kMismatches,
  kDiskFailures,
  kConsents,
  kResyncFrames,
  kZeroResyncFrames,
  kCheckFrames,
  kPulls,
  kPromises,
  kOutdates,
  kMarks,
  kMaps,
  kLogCommits,
  kStateCommits,
  kPageSaves,
  kLogLost,
  kTornStores,
  kDataCorrupt,
  kVerifies,
  kRottenBlocks,
  kSeedsOpened,
  kImaged,
  kImagesFailed,
  kImagesDamaged,
  kSeedsDropped,
  kExtendsRefused,
  kSeedsJoined,
  kSeedsSurvived,
  kSeedsWrong,
  kCorruptForced,
  kAsymmetric,
  kSlowDisks,
  kFellBehind,
  kHeldBack,
  kSetBack,
  kBlankDisks,
  kForeignDisks,
  kOtherMirrors,
  kOtherSizes,
  kHandovers,
  kChecksums,
  kWhatIfCrashes,
  kPrefixChecks,
  kGuardedPromotions,
  kHealForced,
  kLateFrames,
  kNames
};
constexpr std::size_t kCounts = static_cast<std::size_t>(Count::kNames);
std::string_view name_of(Count count);

struct Stats {
  std::array<std::uint64_t, kCounts> counts{};
  std::array<std::uint64_t, replicator::kRows> rows{};
  void add(Count count, std::uint64_t by = 1) { counts[static_cast<std::size_t>(count)] += by; }
  std::uint64_t of(Count count) const { return counts[static_cast<std::size_t>(count)]; }
};

}  // namespace drseed::sim
