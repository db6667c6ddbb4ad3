// The handshake table (replicator/DESIGN.md), row by row; and what holds for any two nodes.

#include "replicator/core/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/replicator_test_support.h"

namespace drseed::replicator {
namespace {

using testing::HasSubstr;

constexpr Sequence kFork = first_of(1) + 100;  // at which generation 2 left generation 1

NodeView node_at(Lineage lineage, Sequence low, Sequence high) {
  NodeView view;
  view.mirror = id_of(0xaa);
  view.volume_bytes = kGiB;
  view.lineage = std::move(lineage);
  view.low = low;
  view.high = high;
  view.slot_valid = true;
  return view;
}

Lineage lineage_of_source() {
  return {{id_of(1), 0}, {id_of(2), kFork}};
}

// In service in generation 2, which left generation 1 at kFork; it has written.
NodeView a_source() {
  auto view = node_at(lineage_of_source(), first_of(2), kAnySequence);
  view.in_service = true;
  view.map_empty = false;
  return view;
}

// In generation 1, up to `high`.
NodeView a_target(Sequence high = kFork) {
  auto view = node_at({{id_of(1), 0}}, high, high);
  view.node = 1;
  return view;
}

// Has a generation of its own, 3, which left generation 1 at `fork`.
NodeView a_fork(Sequence fork = kFork) {
  auto view = node_at({{id_of(1), 0}, {id_of(3), fork}}, first_of(3) + 5, first_of(3) + 5);
  view.node = 1;
  view.map_empty = false;
  return view;
}

void expect(const NodeView& source, const NodeView& target, Row row, Resync resync, std::string_view says) {
  const auto decision = decide(source, target);
  EXPECT_EQ(decision.row, row) << name_of(decision.row);
  EXPECT_EQ(decision.resync, resync) << static_cast<int>(decision.resync);
  EXPECT_THAT(decision.why, HasSubstr(says));
}

// ---- Refused

TEST(HandshakeTable, AnotherMirrorIsRefusedWithBothIds) {
  auto target = a_target();
  target.mirror = id_of(0xbb);
  expect(a_source(), target, Row::kRefusedMirror, Resync::kRefused, to_string(id_of(0xaa)));
  expect(a_source(), target, Row::kRefusedMirror, Resync::kRefused, to_string(id_of(0xbb)));
}

TEST(HandshakeTable, AnotherSizeIsRefusedWithBothSizes) {
  auto target = a_target();
  target.volume_bytes = kGiB + 512;
  expect(a_source(), target, Row::kRefusedSize, Resync::kRefused, "1073741824 bytes, target 1073742336");
}

TEST(HandshakeTable, TargetInServiceIsRefused) {
  auto target = a_target();
  target.in_service = true;
  expect(a_source(), target, Row::kSplitBrain, Resync::kRefused, "in service itself");
  auto feeding = a_source();
  feeding.in_service = false;
  expect(feeding, target, Row::kRefusedInService, Resync::kRefused, "in service itself");
  target.lineage.clear();
  expect(a_source(), target, Row::kRefusedInService, Resync::kRefused, "in service itself");
}

TEST(HandshakeTable, BothInServiceWithHistoriesOfTheirOwnIsSplitBrainEvenForAVictim) {
  auto target = a_fork();
  target.in_service = true;
  target.discard = true;
  target.inconsistent = true;
  expect(a_source(), target, Row::kSplitBrain, Resync::kRefused, "in service itself");
}

TEST(HandshakeTable, MirrorAndSizeComeBeforeEverythingElse) {
  NodeView target = a_target();
  target.in_service = true;
  target.mirror = id_of(0xbb);
  target.volume_bytes = 512;
  EXPECT_EQ(decide(a_source(), target).row, Row::kRefusedMirror);
  target.mirror = id_of(0xaa);
  EXPECT_EQ(decide(a_source(), target).row, Row::kRefusedSize);
}

// ---- Newer

TEST(HandshakeTable, TargetWhoseHistoryContinuesTheSourcesIsNewer) {
  const auto source = a_target(kFork);
  auto target = node_at(lineage_of_source(), first_of(2) + 3, first_of(2) + 3);
  expect(source, target, Row::kNewerPeer, Resync::kRefused, "the target must be the source");
  target.slot_valid = false;  // nothing but an operator's word changes that
  expect(source, target, Row::kNewerPeer, Resync::kRefused, "the target must be the source");
}

TEST(HandshakeTable, BlankSourceNeverOverwritesAHistory) {
  expect(node_at({}, 0, 0), a_target(), Row::kNewerPeer, Resync::kRefused, "the source has no history");
}

TEST(Explain, SaysWhoIsOverwrittenFromWhatAndWhatIsLost) {
  auto source = a_source();
  auto target = a_target(kFork + 1);
  source.node = 1;
  target.node = 2;
  const auto tail = explain(source, target, 8192);
  EXPECT_NE(tail.find("at most 8192 bytes of node 2 are overwritten from node 1"), std::string::npos) << tail;
  EXPECT_NE(tail.find("is lost"), std::string::npos) << tail;
  target.in_service = true;
  EXPECT_NE(explain(source, target, 0).find("nothing is overwritten"), std::string::npos);
}

// ---- Split brain

TEST(HandshakeTable, BothLeftACommonGenerationAndWroteIsSplitBrain) {
  expect(a_source(), a_fork(), Row::kSplitBrain, Resync::kRefused, "name the one to give up");
  expect(a_source(), a_fork(kFork - 50), Row::kSplitBrain, Resync::kRefused, "generation 03030303");
  expect(a_source(), a_fork(kFork + 50), Row::kSplitBrain, Resync::kRefused, "generation 02020202");
  expect(a_source(), a_fork(kAnySequence), Row::kSplitBrain, Resync::kRefused, "both wrote");
}

TEST(HandshakeTable, SourceThatWroteOnInTheCommonGenerationIsNotOverwrittenEither) {
  auto source = a_target(kFork + 9);  // the target left at kFork
  const auto target = node_at(lineage_of_source(), first_of(2), first_of(2));
  expect(source, target, Row::kNewerPeer, Resync::kRefused, "the target must be the source");
}

TEST(HandshakeTable, SeedOfAHistoryThatTheSourceLacksNeedsConsent) {
  auto target = a_fork();
  target.seed = id_of(9);
  target.inconsistent = true;
  expect(a_source(), target, Row::kSeed, Resync::kConsent, "full or checksum");
}

TEST(HandshakeTable, VictimOfASplitBrainIsPartialFromBothMaps) {
  auto target = a_fork();
  target.discard = true;
  expect(a_source(), target, Row::kVictim, Resync::kPartial, "gave up");
}

TEST(HandshakeTable, VictimWithoutAValidMapNeedsConsent) {
  auto target = a_fork();
  target.discard = true;
  target.slot_valid = false;
  expect(a_source(), target, Row::kBeforeBase, Resync::kConsent, "the target has not tracked");
  target.slot_valid = true;
  auto source = a_source();
  source.slot_valid = false;
  expect(source, target, Row::kBeforeBase, Resync::kConsent, "the source has not tracked");
}

TEST(HandshakeTable, SourceNamedAsVictimStillDoesNotOverwrite) {
  auto source = a_source();
  source.discard = true;
  expect(source, a_fork(), Row::kSplitBrain, Resync::kRefused, "name the one");
}

// ---- Inconsistent

TEST(HandshakeTable, TargetHalfResyncedByAnotherSourceIsPartialWhereBothMapsAreValid) {
  auto target = a_fork();
  target.inconsistent = true;
  expect(a_source(), target, Row::kInconsistentElsewhere, Resync::kPartial, "half resynced");
}

TEST(HandshakeTable, TargetHalfResyncedByAnotherSourceNeedsConsentWithoutBothMaps) {
  auto target = a_fork();
  target.inconsistent = true;
  target.slot_valid = false;
  expect(a_source(), target, Row::kBeforeBase, Resync::kConsent, "half resynced");
  target.slot_valid = true;
  auto source = a_source();
  source.slot_valid = false;
  expect(source, target, Row::kBeforeBase, Resync::kConsent, "half resynced");
}

TEST(HandshakeTable, TargetHalfResyncedOnTheSourcesLineageIsOnLineage) {
  auto target = node_at(lineage_of_source(), kFork, kFork);
  target.inconsistent = true;
  expect(a_source(), target, Row::kOnLineage, Resync::kPartial, "half resynced");
}

// ---- Same

TEST(HandshakeTable, SameGenerationAndBothMapsEmptyIsSame) {
  auto source = a_source();
  source.map_empty = true;
  const auto target = node_at(lineage_of_source(), first_of(2) + 7, first_of(2) + 7);
  expect(source, target, Row::kSame, Resync::kNothing, "same data");
}

TEST(HandshakeTable, MapOfEitherOrAnOlderGenerationOrAnInterruptedResyncIsNotSame) {
  auto empty = a_source();
  empty.map_empty = true;
  auto target = node_at(lineage_of_source(), first_of(2) + 7, first_of(2) + 7);
  expect(a_source(), target, Row::kOnLineage, Resync::kPartial, "generation 02020202");
  expect(empty, a_target(), Row::kOnLineage, Resync::kPartial, "generation 01010101");
  auto dirty = target;
  dirty.map_empty = false;
  expect(empty, dirty, Row::kOnLineage, Resync::kPartial, "generation 02020202");
  target.inconsistent = true;
  expect(empty, target, Row::kOnLineage, Resync::kPartial, "half resynced");
}

TEST(HandshakeTable, SameNeedsValidSlotsAndTheBaseToo) {
  auto source = a_source();
  source.map_empty = true;
  auto target = node_at(lineage_of_source(), first_of(2) + 7, first_of(2) + 7);
  target.slot_valid = false;
  expect(source, target, Row::kBeforeBase, Resync::kConsent, "has not tracked");
  target.slot_valid = true;
  source.base = first_of(2) + 8;
  expect(source, target, Row::kBeforeBase, Resync::kConsent, "set back");
}

// ---- On lineage, tail, before base

TEST(HandshakeTable, TargetInAnOlderGenerationBeforeTheForkIsOnLineage) {
  expect(a_source(), a_target(kFork), Row::kOnLineage, Resync::kPartial, "generation 01010101");
  expect(a_source(), a_target(kFork - 1), Row::kOnLineage, Resync::kPartial, "generation 01010101");
}

TEST(HandshakeTable, AnythingIsBeforeAForkAtAnUnknownSequence) {
  auto source = a_source();
  source.lineage[1].forked_at = kAnySequence;
  expect(source, a_target(kFork + 1000), Row::kOnLineage, Resync::kPartial, "generation 01010101");
}

TEST(HandshakeTable, TargetThatWroteOnInTheCommonGenerationIsTheTailOfAnOldSource) {
  expect(a_source(), a_target(kFork + 1), Row::kTail, Resync::kPartial, "it is undone");
  auto crashed = a_target();
  crashed.high = kAnySequence;
  expect(a_source(), crashed, Row::kTail, Resync::kPartial, "an unknown sequence");
}

TEST(HandshakeTable, TailNeedsTheOldSourcesMap) {
  auto target = a_target(kFork + 1);
  target.slot_valid = false;
  expect(a_source(), target, Row::kBeforeBase, Resync::kConsent, "the target has not tracked");
}

TEST(HandshakeTable, InvalidSlotNeedsConsent) {
  auto source = a_source();
  source.slot_valid = false;
  expect(source, a_target(), Row::kBeforeBase, Resync::kConsent, "the source has not tracked");
}

TEST(HandshakeTable, TargetWhoseRecordIsOlderThanTheBaseNeedsConsent) {
  auto source = a_source();
  source.base = kFork - 10;
  expect(source, a_target(kFork - 10), Row::kOnLineage, Resync::kPartial, "");
  expect(source, a_target(kFork - 11), Row::kBeforeBase, Resync::kConsent, "set back");
  auto target = a_target(kFork);  // its low counts, not its high (R3)
  target.low = kFork - 11;
  expect(source, target, Row::kBeforeBase, Resync::kConsent, "set back");
}

// ---- Seed, blank, foreign

TEST(HandshakeTable, SeedOnTheLineageIsPartial) {
  auto target = a_target(kFork - 10);
  target.seed = id_of(0x5e);
  expect(a_source(), target, Row::kSeed, Resync::kPartial, "seeded");
}

TEST(HandshakeTable, SeedBeforeTheBaseOrWithoutItsSlotNeedsConsent) {
  auto target = a_target(kFork - 10);
  target.seed = id_of(0x5e);
  auto source = a_source();
  source.base = kFork - 9;
  expect(source, target, Row::kBeforeBase, Resync::kConsent, "had confirmed");
  source.base = 0;
  source.slot_valid = false;
  expect(source, target, Row::kBeforeBase, Resync::kConsent, "seeded");
}

// R10: what the image holds of the old source's tail is in no map.
TEST(HandshakeTable, SeedThatEndsBeyondTheForkNeedsConsent) {
  auto target = a_target(kFork - 10);
  target.seed = id_of(0x5e);
  target.high = kFork + 1;
  expect(a_source(), target, Row::kSeed, Resync::kConsent, "seeded");
}

TEST(HandshakeTable, SeedOfAnotherHistoryIsForeign) {
  auto target = node_at({{id_of(9), 0}}, 5, 5);
  target.seed = id_of(0x5e);
  expect(a_source(), target, Row::kForeign, Resync::kConsent, "nothing in common");
}

TEST(HandshakeTable, BlankTargetNeedsConsentToItsInitialSync) {
  expect(a_source(), node_at({}, 0, 0), Row::kBlank, Resync::kConsent, "initial sync");
  expect(node_at({}, 0, 0), node_at({}, 0, 0), Row::kBlank, Resync::kConsent, "initial sync");
}

TEST(HandshakeTable, NothingInCommonIsRefusedWithoutConsentWhateverItsFlags) {
  auto target = node_at({{id_of(8), 0}, {id_of(9), 7}}, 9, 9);
  expect(a_source(), target, Row::kForeign, Resync::kConsent, "nothing in common");
  target.discard = target.inconsistent = true;
  expect(a_source(), target, Row::kForeign, Resync::kConsent, "generation 09090909");
}

// ---- Relations

TEST(Relation, OfAStateToALineage) {
  const auto lineage = lineage_of_source();
  EXPECT_EQ(relation_of(lineage, id_of(2), 0), Relation::kEqual);
  EXPECT_EQ(relation_of(lineage, id_of(2), kAnySequence), Relation::kEqual);
  EXPECT_EQ(relation_of(lineage, id_of(1), kFork), Relation::kAncestor);
  EXPECT_EQ(relation_of(lineage, id_of(1), kFork + 1), Relation::kTail);
  EXPECT_EQ(relation_of(lineage, id_of(3), 0), Relation::kUnrelated);
  EXPECT_EQ(relation_of({}, id_of(1), 0), Relation::kUnrelated);
}

TEST(Relation, EveryRowHasANameOfItsOwn) {
  std::vector<std::string_view> names;
  for (int row = 0; row < kRows; ++row) names.push_back(name_of(static_cast<Row>(row)));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  EXPECT_FALSE(names.front().empty());
}

// ---- For any two nodes

// Generations as they come to be: each leaves its parent at some sequence. Two of them start from nothing.
class RandomHistories {
 public:
  explicit RandomHistories(Random& random) : random_(random) {
    for (std::uint8_t i = 0; i < 8; ++i) {
      Lineage lineage;
      if (i >= 2) {
        const auto& parent = lineages_[below(random, i)];
        lineage = parent;
        const auto forked_at = first_of(parent.size()) + below(random, 10);
        lineage.push_back({id_of(i), below(random, 6) == 0 ? kAnySequence : forked_at});
      } else {
        lineage = {{id_of(i), 0}};
      }
      lineages_.push_back(std::move(lineage));
    }
  }
  NodeView node() {
    NodeView view = random_view(random_);
    view.mirror = id_of(below(random_, 20) == 0 ? 0xbb : 0xaa);
    view.volume_bytes = below(random_, 20) == 0 ? 2 * kGiB : kGiB;
    view.in_service = below(random_, 4) == 0;
    view.inconsistent = below(random_, 4) == 0;
    view.discard = below(random_, 4) == 0;
    if (below(random_, 4) != 0) view.seed.reset();
    view.lineage = below(random_, 12) == 0 ? Lineage{} : lineages_[below(random_, lineages_.size())];
    const auto first = first_of(view.lineage.size());
    view.low = first + below(random_, 10);
    view.high = below(random_, 4) == 0 ? kAnySequence : view.low + below(random_, 5);
    view.slot_valid = below(random_, 4) != 0;
    view.base = coin(random_) ? 0 : first + below(random_, 10);
    return view;
  }

 private:
  Random& random_;
  std::vector<Lineage> lineages_;
};

bool has_generation(const NodeView& view, const Generation& generation) {
  return std::any_of(view.lineage.begin(), view.lineage.end(),
                     [&](const LineageEntry& entry) { return entry.generation == generation; });
}

bool has_all_of(const NodeView& view, const NodeView& other) {
  return std::all_of(other.lineage.begin(), other.lineage.end(),
                     [&](const LineageEntry& entry) { return has_generation(view, entry.generation); });
}

bool overwrites(const Decision& decision) {
  return decision.resync == Resync::kPartial || decision.resync == Resync::kConsent;
}

// What any decision is held to; `seen` counts rows, so that none is missed.
void check_decision(const NodeView& source, const NodeView& target, std::array<int, kRows>& seen) {
  const auto decision = decide(source, target);
  const auto says = [&] { return std::string(name_of(decision.row)) + ": " + decision.why; };
  ++seen[static_cast<std::size_t>(decision.row)];
  ASSERT_FALSE(decision.why.empty()) << name_of(decision.row);
  if (target.in_service || target.mirror != source.mirror || target.volume_bytes != source.volume_bytes) {
    ASSERT_EQ(decision.resync, Resync::kRefused) << says();
  }
  if (source.lineage.empty() && !target.lineage.empty()) {
    ASSERT_EQ(decision.resync, Resync::kRefused) << says();
  }
  if (decision.resync == Resync::kPartial || decision.resync == Resync::kNothing) {
    ASSERT_TRUE(source.slot_valid && target.slot_valid && target.low >= source.base) << says();
    ASSERT_TRUE(has_all_of(source, target) || target.inconsistent || target.discard) << says();
    ASSERT_TRUE(has_generation(source, target.lineage.front().generation)) << says();
  }
  if (decision.resync == Resync::kNothing) {
    ASSERT_EQ(source.lineage, target.lineage) << says();
    ASSERT_TRUE(source.map_empty && target.map_empty && !target.inconsistent) << says();
  }
  ASSERT_EQ(decision.resync == Resync::kNothing, decision.row == Row::kSame) << says();
}

TEST(AnyTwoNodes, AreNeverOverwrittenAgainstTheTable) {
  Random random(1);
  std::array<int, kRows> seen{};
  for (int history = 0; history < 400; ++history) {
    RandomHistories histories(random);
    for (int i = 0; i < 100; ++i) {
      const auto a = histories.node();
      const auto b = histories.node();
      check_decision(a, b, seen);
      if (HasFatalFailure()) return;
    }
  }
  for (int row = 0; row < kRows; ++row)
    EXPECT_GT(seen[static_cast<std::size_t>(row)], 0) << name_of(static_cast<Row>(row));
}

TEST(AnyTwoNodes, AreOnEachOthersLineageOnlyInTheSameGeneration) {
  const auto on_lineage = [](const Decision& decision) {
    if (decision.resync == Resync::kConsent) return false;
    return decision.row == Row::kSame || decision.row == Row::kOnLineage || decision.row == Row::kTail ||
           decision.row == Row::kSeed;
  };
  Random random(2);
  int both = 0;
  for (int history = 0; history < 400; ++history) {
    RandomHistories histories(random);
    for (int i = 0; i < 100; ++i) {
      const auto a = histories.node();
      const auto b = histories.node();
      if (!on_lineage(decide(a, b)) || !on_lineage(decide(b, a))) continue;
      ASSERT_EQ(a.lineage.back().generation, b.lineage.back().generation);
      ++both;
    }
  }
  EXPECT_GT(both, 100);
}

// Histories without fields that an operator or a half-done resync set: of two that parted, neither is overwritten.
TEST(AnyTwoNodes, ThatPartedAreOverwrittenInNeitherDirection) {
  Random random(3);
  int parted = 0;
  for (int history = 0; history < 400; ++history) {
    RandomHistories histories(random);
    for (int i = 0; i < 100; ++i) {
      auto a = histories.node();
      auto b = histories.node();
      a.inconsistent = b.inconsistent = a.discard = b.discard = false;
      a.seed = b.seed = std::nullopt;
      const bool share = !a.lineage.empty() && !b.lineage.empty() && a.lineage.front() == b.lineage.front();
      if (!share || has_all_of(a, b) || has_all_of(b, a)) continue;
      ASSERT_FALSE(overwrites(decide(a, b)) || overwrites(decide(b, a))) << decide(a, b).why;
      ++parted;
    }
  }
  EXPECT_GT(parted, 100);
}

}  // namespace
}  // namespace drseed::replicator
