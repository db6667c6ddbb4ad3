// bitmap/activity_log: a random owner that obeys the rules, and crashes.
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

// A random owner. It keeps what a disk would hold and checks, after every step, that no crash could lose a region.
class Owner {
 public:
  Owner(std::uint64_t seed, std::uint32_t regions_max, RegionIndex volume_regions, std::size_t depth)
      : random_(seed), regions_max_(regions_max), volume_regions_(volume_regions), depth_(depth) {
    log_.emplace(regions_max);
  }

  void step() {
    if (below(300) == 0) cleaning_percent_ = 1 + below(15);
    const auto dice = below(100);
    if (dice < 40) begin();
    if (dice >= 40 && dice < 70) end();
    if (dice >= 70 && dice < 83) finish_commit();
    if (dice >= 83 && dice < 83 + cleaning_percent_) finish_cleaning();
    if (dice == 98 && below(20) == 0) clean_all();
    if (dice == 99 && below(200) == 0) crash();
    serve(below(50) == 0);
    check();
  }

  // The owner accepts nothing new: all that waits starts, all ends, and the log becomes empty.
  void drain() {
    for (std::size_t rounds = 0; !waiting_.empty() || !running_.empty(); ++rounds) {
      ASSERT_LT(rounds, 10 * (depth_ + 10)) << "stuck: " << waiting_.size() << " wait, " << running_.size() << " run";
      while (!running_.empty()) end();
      finish_commit();
      while (!cleanings_.empty()) finish_cleaning();
      serve(false);
      check();
    }
    finish_commit();
    while (!cleanings_.empty()) finish_cleaning();
    clean_all();
    while (!cleanings_.empty()) finish_cleaning();
    serve(true);
    finish_commit();
    check();
    ASSERT_EQ(log_->region_count(), 0U);
    ASSERT_TRUE(durable_.empty());
  }

  std::uint64_t started() const { return started_count_; }

 private:
  struct Waiting {
    Ticket ticket;
    Regions regions;
    std::size_t ahead;             // requests that waited already
    std::uint64_t commits_before;  // commits_durable_ when it began
  };
  struct Cleaning {
    ActivityLog::Cleaning cleaning;
    std::map<RegionIndex, std::uint64_t> uses;  // of its regions, when it was handed out
  };

  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  // Two thirds of the requests go to a hot part that wanders.
  Regions any_regions() {
    if (below(1000) == 0) hot_ = static_cast<RegionIndex>(below(volume_regions_));
    const auto first = below(3) > 0 ? hot_ + below(regions_max_ / 2) : below(volume_regions_);
    const auto count = below(4) > 0 ? 1 : 1 + below(regions_max_ / 4);
    std::set<RegionIndex> regions;
    for (std::uint64_t i = 0; i < count; ++i) {
      regions.insert(static_cast<RegionIndex>((below(3) > 0 ? first + i : below(volume_regions_)) % volume_regions_));
    }
    return {regions.begin(), regions.end()};
  }

  void begin() {
    if (running_.size() + waiting_.size() >= depth_) return;
    auto regions = any_regions();
    const auto ticket = ++tickets_;
    const auto commits = log_->commit_count();
    if (log_->begin(ticket, regions)) {
      ASSERT_EQ(log_->commit_count(), commits);
      start(ticket, std::move(regions));
    } else {
      waiting_.push_back({ticket, std::move(regions), waiting_.size(), commits_durable_});
    }
  }

  void start(Ticket ticket, Regions regions) {
    for (const auto region : regions) ++uses_[region];
    ++started_count_;
    running_.emplace(ticket, std::move(regions));
  }

  void end() {
    if (running_.empty()) return;
    const auto request = std::next(running_.begin(), static_cast<std::ptrdiff_t>(below(running_.size())));
    log_->end(request->second);
    running_.erase(request);
  }

  void finish_commit() {
    if (!under_way_) return;
    std::vector<Ticket> started;
    log_->committed(under_way_->number, started);
    durable_ = {under_way_->regions.begin(), under_way_->regions.end()};
    under_way_.reset();
    commits_durable_ += !shrinks_;
    for (const auto ticket : started) {
      ASSERT_FALSE(waiting_.empty());
      auto& request = waiting_.front();
      ASSERT_EQ(ticket, request.ticket) << "first come, first served";
      // Each record that is not written only to shrink the log admits at least the first that waits.
      ASSERT_LE(commits_durable_ - request.commits_before, request.ahead + 2);
      start(ticket, std::move(request.regions));
      waiting_.pop_front();
    }
  }

  void finish_cleaning() {
    if (cleanings_.empty()) return;
    const auto which = cleanings_.begin() + static_cast<std::ptrdiff_t>(below(cleanings_.size()));
    log_->cleaned(which->cleaning);
    for (const auto& [region, uses] : which->uses) cleaned_uses_[region] = std::max(cleaned_uses_[region], uses);
    cleanings_.erase(which);
  }

  void hand_out(std::optional<ActivityLog::Cleaning> cleaning) {
    if (!cleaning) return;
    ASSERT_FALSE(cleaning->regions.empty());
    ASSERT_TRUE(std::is_sorted(cleaning->regions.begin(), cleaning->regions.end(), std::less_equal<>()));
    Cleaning handed{*cleaning, {}};
    for (const auto region : cleaning->regions) {
      ASSERT_TRUE(log_->logged(region));
      for (const auto& [ticket, regions] : running_) {
        ASSERT_FALSE(std::binary_search(regions.begin(), regions.end(), region)) << "it cannot become clean now";
      }
      for (const auto& other : cleanings_) {
        ASSERT_FALSE(other.uses.contains(region) && other.uses.at(region) == uses_[region]) << "cleaned twice";
      }
      handed.uses[region] = uses_[region];
    }
    cleanings_.push_back(std::move(handed));
  }

  void clean_all() { hand_out(log_->clean_all()); }

  void serve(bool shrink) {
    const bool had_one = under_way_.has_value();
    if (auto record = log_->next_commit(shrink)) {
      ASSERT_FALSE(had_one);
      ASSERT_LE(record->regions.size(), regions_max_);
      ASSERT_TRUE(std::is_sorted(record->regions.begin(), record->regions.end()));
      ASSERT_EQ(std::adjacent_find(record->regions.begin(), record->regions.end()), record->regions.end());
      under_way_ = std::move(record);
      shrinks_ = shrink;
    }
    hand_out(log_->next_cleaning());
    ASSERT_TRUE(waiting_.empty() || under_way_ || !cleanings_.empty() || !running_.empty()) << "nothing can go on";
  }

  // After a crash the durable record counts, or the one under way if it had just become durable.
  void crash() {
    if (under_way_ && below(2) == 0) durable_ = {under_way_->regions.begin(), under_way_->regions.end()};
    under_way_.reset();
    cleanings_.clear();
    running_.clear();
    waiting_.clear();
    log_.emplace(regions_max_);
    log_->adopt(Regions(durable_.begin(), durable_.end()));
    uses_.clear();
    cleaned_uses_.clear();
    for (const auto region : durable_) uses_[region] = 1;
  }

  bool in_every_record(RegionIndex region) const {
    return durable_.contains(region) &&
           (!under_way_ || std::binary_search(under_way_->regions.begin(), under_way_->regions.end(), region));
  }

  void check() {
    for (const auto& [region, uses] : uses_) {
      const auto cleaned = cleaned_uses_.find(region);
      if (cleaned != cleaned_uses_.end() && cleaned->second == uses) continue;
      ASSERT_TRUE(in_every_record(region)) << "region " << region << " was written, is not clean, and is not logged";
    }
    const auto regions = log_->regions();
    ASSERT_TRUE(std::includes(regions.begin(), regions.end(), durable_.begin(), durable_.end()));
    ASSERT_EQ(log_->waiting_count(), waiting_.size());
    // What is clean and left need not be looked at again.
    if (below(100) == 0) {
      std::erase_if(uses_, [&](const auto& item) {
        const auto cleaned = cleaned_uses_.find(item.first);
        const bool forget = !durable_.contains(item.first) && cleaned != cleaned_uses_.end() &&
                            cleaned->second == item.second && !log_->logged(item.first) &&
                            std::none_of(cleanings_.begin(), cleanings_.end(),
                                         [&](const Cleaning& other) { return other.uses.contains(item.first); });
        if (forget) cleaned_uses_.erase(item.first);
        return forget;
      });
    }
  }

  std::mt19937_64 random_;
  const std::uint32_t regions_max_;
  const RegionIndex volume_regions_;
  const std::size_t depth_;
  std::optional<ActivityLog> log_;
  RegionIndex hot_ = 0;
  std::uint64_t cleaning_percent_ = 8;  // slow at times, so that much happens during a cleaning
  Ticket tickets_ = 0;
  std::uint64_t started_count_ = 0;
  std::uint64_t commits_durable_ = 0;  // but for those that shrink
  bool shrinks_ = false;               // the one under way
  std::map<Ticket, Regions> running_;
  std::deque<Waiting> waiting_;
  std::vector<Cleaning> cleanings_;
  std::optional<ActivityLog::Commit> under_way_;
  std::set<RegionIndex> durable_;
  std::map<RegionIndex, std::uint64_t> uses_;          // requests that started on a region
  std::map<RegionIndex, std::uint64_t> cleaned_uses_;  // how many of them a cleaning has covered
};

struct Shape {
  std::uint32_t regions_max;
  RegionIndex volume_regions;
  std::size_t depth;
};

class ActivityLogModel : public testing::TestWithParam<Shape> {};

TEST_P(ActivityLogModel, NoCrashLosesARegionAndEveryRequestStarts) {
  const auto [regions_max, volume_regions, depth] = GetParam();
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Owner owner(seed, regions_max, volume_regions, depth);
    for (int step = 0; step < 10'000; ++step) {
      owner.step();
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", step " << step;
      if (step % 2000 != 1999) continue;
      owner.drain();
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", draining after step " << step;
    }
    EXPECT_GT(owner.started(), 1000U);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ActivityLogModel,
                         testing::Values(Shape{16, 20, 8}, Shape{16, 200, 100}, Shape{16, 16, 32}, Shape{64, 500, 32},
                                         Shape{100, 10'000, 300}),
                         [](const auto& shape) {
                           return std::to_string(shape.param.regions_max) + "Of" +
                                  std::to_string(shape.param.volume_regions) + "Depth" +
                                  std::to_string(shape.param.depth);
                         });

}  // namespace
}  // namespace drseed::bitmap
