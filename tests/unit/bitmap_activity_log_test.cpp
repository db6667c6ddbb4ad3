// bitmap/activity_log: each rule by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "bitmap/activity_log.h"

namespace drseed::bitmap {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Regions = std::vector<RegionIndex>;
using Ticket = ActivityLog::Ticket;

Regions numbers(RegionIndex first, RegionIndex end) {
  Regions regions;
  for (auto region = first; region < end; ++region) regions.push_back(region);
  return regions;
}

std::vector<Ticket> commit(ActivityLog& log, const ActivityLog::Commit& record) {
  std::vector<Ticket> started;
  log.committed(record.number, started);
  return started;
}

// Every region from `first` to `end` in the log, without requests, the lowest used longest ago.
void fill(ActivityLog& log, RegionIndex first, RegionIndex end) {
  for (auto region = first; region < end; ++region) {
    const Regions regions{region};
    if (!log.begin(region, regions)) {
      const auto record = log.next_commit();
      ASSERT_TRUE(record);
      ASSERT_THAT(commit(log, *record), ElementsAre(region));
    }
    log.end(regions);
  }
}

TEST(ActivityLog, ANewRegionWaitsForItsRecord) {
  ActivityLog log;
  EXPECT_FALSE(log.begin(7, Regions{3}));
  const auto record = log.next_commit();
  ASSERT_TRUE(record);
  EXPECT_THAT(record->regions, ElementsAre(3));
  EXPECT_THAT(commit(log, *record), ElementsAre(7));
  EXPECT_TRUE(log.logged(3));
  EXPECT_EQ(log.waiting_count(), 0U);
}

TEST(ActivityLog, AHitCostsNoCommit) {
  ActivityLog log;
  fill(log, 0, 1024);
  const auto commits = log.commit_count();
  std::mt19937 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const Regions regions{static_cast<RegionIndex>(random() % 1024)};
    ASSERT_TRUE(log.begin(1, regions));
    if (i % 2 == 0) log.end(regions);
  }
  EXPECT_FALSE(log.next_commit());
  EXPECT_FALSE(log.next_cleaning());
  EXPECT_EQ(log.commit_count(), commits);
}

TEST(ActivityLog, RequestsThatArriveDuringACommitShareTheNext) {
  ActivityLog log;
  EXPECT_FALSE(log.begin(0, Regions{0}));
  const auto first = log.next_commit();
  ASSERT_TRUE(first);
  for (Ticket ticket = 1; ticket <= 100; ++ticket) {
    EXPECT_FALSE(log.begin(ticket, Regions{static_cast<RegionIndex>(ticket)}));
    EXPECT_FALSE(log.next_commit()) << "one record at a time";
  }
  EXPECT_THAT(commit(log, *first), ElementsAre(0));
  const auto second = log.next_commit();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->regions, numbers(0, 101));
  const auto started = commit(log, *second);
  EXPECT_EQ(started.size(), 100U);
  EXPECT_TRUE(std::is_sorted(started.begin(), started.end()));
  EXPECT_EQ(log.commit_count(), 2U);
}

TEST(ActivityLog, ARequestOnARegionThatIsEnteringWaitsForTheSameCommit) {
  ActivityLog log;
  EXPECT_FALSE(log.begin(1, Regions{5}));
  const auto record = log.next_commit();
  ASSERT_TRUE(record);
  EXPECT_FALSE(log.begin(2, Regions{5}));
  EXPECT_THAT(commit(log, *record), ElementsAre(1, 2));
}

TEST(ActivityLog, ARequestOnTwoRegionsNeedsBoth) {
  ActivityLog log;
  fill(log, 0, 1);
  EXPECT_FALSE(log.begin(9, Regions{0, 1}));
  const auto record = log.next_commit();
  ASSERT_TRUE(record);
  EXPECT_THAT(record->regions, ElementsAre(0, 1));
  EXPECT_THAT(commit(log, *record), ElementsAre(9));
}

TEST(ActivityLog, AHitOvertakesARequestThatWaits) {
  ActivityLog log;
  fill(log, 0, 1);
  EXPECT_FALSE(log.begin(1, Regions{50}));
  EXPECT_TRUE(log.begin(2, Regions{0}));
}

TEST(ActivityLog, AFullLogCleansWhatWasUsedLongestAgo) {
  ActivityLog log(16);
  fill(log, 0, 16);
  EXPECT_TRUE(log.begin(1, Regions{0}));
  log.end(Regions{0});
  EXPECT_FALSE(log.begin(2, Regions{100}));
  EXPECT_FALSE(log.next_commit()) << "there is no room";
  const auto cleaning = log.next_cleaning();
  ASSERT_TRUE(cleaning);
  EXPECT_THAT(cleaning->regions, ElementsAre(1));
  EXPECT_FALSE(log.next_commit()) << "not clean yet";
  EXPECT_FALSE(log.next_cleaning()) << "not twice";
  log.cleaned(*cleaning);
  const auto record = log.next_commit();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->regions, (Regions{0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 100}));
  EXPECT_TRUE(log.logged(1)) << "until the record without it is durable";
  EXPECT_THAT(commit(log, *record), ElementsAre(2));
  EXPECT_FALSE(log.logged(1));
}

TEST(ActivityLog, ACleaningMakesRoomForSeveral) {
  ActivityLog log(1024);
  fill(log, 0, 1024);
  EXPECT_FALSE(log.begin(1, Regions{5000}));
  EXPECT_FALSE(log.next_commit());
  const auto cleaning = log.next_cleaning();
  ASSERT_TRUE(cleaning);
  EXPECT_EQ(cleaning->regions, numbers(0, 64));
  log.cleaned(*cleaning);
  for (RegionIndex region = 5000; region < 5064; ++region) {
    if (region > 5000) {
      EXPECT_FALSE(log.begin(region, Regions{region}));
    }
    const auto record = log.next_commit();
    ASSERT_TRUE(record);
    EXPECT_EQ(commit(log, *record).size(), 1U);
    EXPECT_FALSE(log.next_cleaning());
    EXPECT_FALSE(log.logged(region - 5000)) << "of the clean ones the one used longest ago leaves";
    EXPECT_TRUE(log.logged(region - 5000 + 1));
  }
}

TEST(ActivityLog, ARegionWithARequestUnderWayIsCleanedOnlyAfterItsEnd) {
  ActivityLog log(16);
  fill(log, 0, 16);
  for (RegionIndex region = 0; region < 16; ++region) EXPECT_TRUE(log.begin(region, Regions{region}));
  EXPECT_FALSE(log.begin(99, Regions{99}));
  EXPECT_FALSE(log.next_commit());
  EXPECT_FALSE(log.next_cleaning());
  log.end(Regions{5});
  EXPECT_FALSE(log.next_cleaning()) << "region 0 is being drained, it was used longest ago";
  EXPECT_FALSE(log.begin(98, Regions{0})) << "or it would never be free";
  log.end(Regions{0});
  const auto cleaning = log.next_cleaning();
  ASSERT_TRUE(cleaning);
  EXPECT_THAT(cleaning->regions, ElementsAre(0));
}

TEST(ActivityLog, ARegionUsedDuringItsCleaningStays) {
  ActivityLog log;
  fill(log, 0, 2);
  const auto cleaning = log.clean_all();
  ASSERT_TRUE(cleaning);
  EXPECT_THAT(cleaning->regions, ElementsAre(0, 1));
  EXPECT_TRUE(log.begin(1, Regions{0}));
  log.end(Regions{0});
  log.cleaned(*cleaning);
  const auto record = log.next_commit(true);
  ASSERT_TRUE(record);
  EXPECT_THAT(record->regions, ElementsAre(0));
}

TEST(ActivityLog, AnOlderCleaningDoesNotVouchForAYoungerUse) {
  ActivityLog log;
  fill(log, 0, 1);
  const auto first = log.clean_all();
  ASSERT_TRUE(first);
  EXPECT_TRUE(log.begin(1, Regions{0}));
  log.end(Regions{0});
  const auto second = log.clean_all();
  ASSERT_TRUE(second);
  log.cleaned(*first);
  EXPECT_FALSE(log.next_commit(true)) << "what was written since is not clean";
  log.cleaned(*second);
  const auto record = log.next_commit(true);
  ASSERT_TRUE(record);
  EXPECT_THAT(record->regions, IsEmpty());
}

// As above, but it is cleaned the second time because others need room.
TEST(ActivityLog, ARegionUsedDuringItsCleaningIsCleanedAnew) {
  ActivityLog log(32);
  fill(log, 0, 32);
  EXPECT_FALSE(log.begin(100, Regions{100}));
  EXPECT_FALSE(log.next_commit());
  const auto first = log.next_cleaning();
  ASSERT_TRUE(first);
  EXPECT_THAT(first->regions, ElementsAre(0, 1));
  log.cleaned(log.clean_all().value());  // all others
  auto record = log.next_commit();
  ASSERT_TRUE(record);
  EXPECT_THAT(commit(log, *record), ElementsAre(100));
  // Nobody waits now: regions may be used while their first cleaning goes on, and the others after theirs.
  fill(log, 0, 2);
  fill(log, 3, 32);
  EXPECT_FALSE(log.begin(200, Regions{200}));
  EXPECT_FALSE(log.next_commit());
  const auto second = log.next_cleaning();
  ASSERT_TRUE(second);
  EXPECT_THAT(second->regions, testing::Contains(0U));
  log.cleaned(*first);
  EXPECT_FALSE(log.next_commit(true)) << "what was written since is not clean";
  log.cleaned(*second);
  record = log.next_commit();
  ASSERT_TRUE(record);
  EXPECT_THAT(commit(log, *record), ElementsAre(200));
}

TEST(ActivityLog, ACleaningNamesARegionOnce) {
  ActivityLog log(16);
  fill(log, 0, 16);
  for (RegionIndex region = 0; region < 16; ++region) EXPECT_TRUE(log.begin(region, Regions{region}));
  EXPECT_FALSE(log.begin(99, Regions{99}));
  EXPECT_FALSE(log.next_commit());
  EXPECT_FALSE(log.next_cleaning()) << "region 0 is being drained";
  log.end(Regions{5});
  log.cleaned(log.clean_all().value());
  EXPECT_THAT(commit(log, log.next_commit().value()), ElementsAre(99));
  log.end(Regions{0});
  fill(log, 0, 1);
  const auto cleaning = log.clean_all();
  ASSERT_TRUE(cleaning);
  EXPECT_THAT(cleaning->regions, ElementsAre(0));
}

TEST(ActivityLog, ACleanRegionIsUsedAgainWithoutACommit) {
  ActivityLog log;
  fill(log, 0, 1);
  log.cleaned(log.clean_all().value());
  EXPECT_TRUE(log.begin(1, Regions{0}));
  EXPECT_FALSE(log.next_commit(true));
  log.end(Regions{0});
  EXPECT_TRUE(log.clean_all());
}

TEST(ActivityLog, ARequestOnALeavingRegionWaitsUntilItIsBack) {
  ActivityLog log;
  fill(log, 0, 1);
  log.cleaned(log.clean_all().value());
  const auto without = log.next_commit(true);
  ASSERT_TRUE(without);
  EXPECT_THAT(without->regions, IsEmpty());
  EXPECT_FALSE(log.begin(1, Regions{0}));
  EXPECT_THAT(commit(log, *without), IsEmpty());
  const auto with = log.next_commit();
  ASSERT_TRUE(with);
  EXPECT_THAT(with->regions, ElementsAre(0));
  EXPECT_THAT(commit(log, *with), ElementsAre(1));
}

TEST(ActivityLog, ACleanRegionThatAWaitingRequestUsesIsNotTheOneToLeave) {
  ActivityLog log(16);
  fill(log, 0, 16);
  EXPECT_FALSE(log.begin(1, Regions{0, 100}));
  EXPECT_FALSE(log.next_commit());
  // Region 0 was used longest ago and is cleaned first, but the request needs it.
  std::optional<ActivityLog::Commit> record;
  for (int rounds = 0; !record; ++rounds) {
    ASSERT_LT(rounds, 3);
    log.cleaned(log.next_cleaning().value());
    record = log.next_commit();
  }
  EXPECT_THAT(record->regions, testing::Contains(0U));
  EXPECT_THAT(commit(log, *record), ElementsAre(1));
}

TEST(ActivityLog, OutOfServiceTheLogBecomesEmpty) {
  ActivityLog log;
  fill(log, 0, 500);
  const Regions busy{3};
  EXPECT_TRUE(log.begin(1, busy));
  log.cleaned(log.clean_all().value());
  auto record = log.next_commit(true);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->regions, busy);
  commit(log, *record);
  EXPECT_FALSE(log.clean_all());
  log.end(busy);
  log.cleaned(log.clean_all().value());
  record = log.next_commit(true);
  ASSERT_TRUE(record);
  EXPECT_THAT(record->regions, IsEmpty());
  commit(log, *record);
  EXPECT_EQ(log.region_count(), 0U);
  EXPECT_FALSE(log.next_commit(true));
}

TEST(ActivityLog, WithoutShrinkNothingLeavesThatNeedNot) {
  ActivityLog log;
  fill(log, 0, 3);
  log.cleaned(log.clean_all().value());
  EXPECT_FALSE(log.next_commit());
  EXPECT_EQ(log.region_count(), 3U);
}

TEST(ActivityLog, AdoptedRegionsStayUntilTheyAreCleaned) {
  ActivityLog log(16);
  log.adopt(numbers(0, 16));
  EXPECT_EQ(log.regions(), numbers(0, 16));
  EXPECT_FALSE(log.next_commit(true));
  EXPECT_TRUE(log.begin(1, Regions{2})) << "they are in the durable record";
  log.end(Regions{2});
  EXPECT_FALSE(log.begin(2, Regions{77}));
  EXPECT_FALSE(log.next_commit()) << "not one of them may leave";
  const auto cleaning = log.next_cleaning();
  ASSERT_TRUE(cleaning);
  log.cleaned(*cleaning);
  const auto record = log.next_commit();
  ASSERT_TRUE(record);
  EXPECT_THAT(commit(log, *record), ElementsAre(2));
}

// All regions are in use at every instant, by requests that find theirs in the log; one needs a new one.
TEST(ActivityLog, HitsWithoutEndDoNotStarveARequestThatWaits) {
  ActivityLog log(16);
  fill(log, 0, 16);
  std::deque<Regions> running;
  const auto begin_next = [&](RegionIndex region) {
    if (log.begin(0, Regions{region})) running.push_back(Regions{region});
  };
  for (RegionIndex i = 0; i < 64; ++i) begin_next(i % 16);
  ASSERT_FALSE(log.begin(1000, Regions{100}));
  std::vector<Ticket> started;
  for (RegionIndex step = 0; started.empty(); ++step) {
    ASSERT_LT(step, 200U);
    begin_next(step % 16);
    log.end(running.front());
    running.pop_front();
    if (const auto record = log.next_commit()) log.committed(record->number, started);
    if (const auto cleaning = log.next_cleaning()) log.cleaned(*cleaning);
  }
  EXPECT_EQ(started.front(), 1000U);
}

}  // namespace
}  // namespace drseed::bitmap
