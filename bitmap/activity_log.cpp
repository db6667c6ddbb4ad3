#include "bitmap/activity_log.h"

#include <algorithm>
#include <cassert>

namespace drseed::bitmap {

ActivityLog::ActivityLog(std::uint32_t regions_max) : regions_max_(regions_max) {
  assert(regions_max >= kLogRegionsMin && regions_max <= kLogRegionsMax);
  entries_.reserve(regions_max);
}

void ActivityLog::adopt(std::span<const RegionIndex> regions) {
  assert(entries_.empty() && regions.size() <= regions_max_);
  for (const auto region : regions) entries_[region] = Entry{};
}

bool ActivityLog::may_start(std::span<const RegionIndex> regions, bool overtakes) const {
  return std::all_of(regions.begin(), regions.end(), [&](RegionIndex region) {
    const auto found = entries_.find(region);
    if (found == entries_.end()) return false;
    const auto phase = found->second.phase;
    if (phase == Phase::kEntering || phase == Phase::kLeaving) return false;
    return phase == Phase::kHot || !overtakes;
  });
}

void ActivityLog::start(std::span<const RegionIndex> regions) {
  for (const auto region : regions) {
    auto& entry = entries_.at(region);
    entry.phase = Phase::kHot;
    entry.cleaning = 0;
    ++entry.users;
    entry.last_use = ++clock_;
  }
}

bool ActivityLog::begin(Ticket ticket, std::span<const RegionIndex> regions) {
  assert(!regions.empty() && regions.size() <= regions_max_ / 4);
  assert(std::is_sorted(regions.begin(), regions.end(), std::less_equal<>()) || regions.size() == 1);
  if (may_start(regions, !waiting_.empty())) {
    start(regions);
    return true;
  }
  waiting_.push_back({ticket, {regions.begin(), regions.end()}});
  return false;
}

void ActivityLog::end(std::span<const RegionIndex> regions) {
  for (const auto region : regions) {
    auto& entry = entries_.at(region);
    assert(entry.users > 0);
    if (--entry.users == 0 && entry.phase == Phase::kDraining) {
      entry.phase = Phase::kCleaning;
      to_clean_.push_back(region);
    }
  }
}

// Fills `entering` with what the first waiting requests need and there is room for; returns how many regions must
// leave. Requests are taken in order; the first that does not fit ends it, and shortage_ says what it lacks.
std::size_t ActivityLog::admit(std::vector<RegionIndex>& entering) {
  std::vector<RegionIndex> kept;  // clean regions that an admitted request uses
  const auto clean = static_cast<std::size_t>(std::count_if(
      entries_.begin(), entries_.end(), [](const auto& item) { return item.second.phase == Phase::kClean; }));
  shortage_ = 0;
  std::size_t leaving = 0;
  for (const auto& request : waiting_) {
    auto more = entering;
    auto keeps = kept;
    for (const auto region : request.regions) {
      const auto found = entries_.find(region);
      if (found == entries_.end()) {
        if (std::find(more.begin(), more.end(), region) == more.end()) more.push_back(region);
      } else if (found->second.phase == Phase::kClean && std::find(keeps.begin(), keeps.end(), region) == keeps.end()) {
        keeps.push_back(region);
      }
    }
    const auto total = entries_.size() + more.size();
    const auto over = total > regions_max_ ? total - regions_max_ : 0;
    if (over > clean - keeps.size()) {
      shortage_ = over - (clean - keeps.size());
      break;
    }
    entering = std::move(more);
    kept = std::move(keeps);
    leaving = over;
  }
  // A kept region is used now: it must not be the one to leave.
  for (const auto region : kept) {
    entries_.at(region).phase = Phase::kHot;
    entries_.at(region).last_use = ++clock_;
  }
  return leaving;
}

std::optional<ActivityLog::Commit> ActivityLog::next_commit(bool shrink) {
  if (commit_under_way_ || (waiting_.empty() && !shrink)) return std::nullopt;
  std::vector<RegionIndex> entering;
  auto leaving = admit(entering);
  std::vector<std::pair<std::uint64_t, RegionIndex>> clean;
  if (leaving > 0 || shrink) {
    for (const auto& [region, entry] : entries_) {
      if (entry.phase == Phase::kClean) clean.emplace_back(entry.last_use, region);
    }
    std::sort(clean.begin(), clean.end());
    if (shrink) leaving = clean.size();
  }
  if (entering.empty() && leaving == 0) return std::nullopt;
  for (std::size_t i = 0; i < leaving; ++i) entries_.at(clean[i].second).phase = Phase::kLeaving;
  for (const auto region : entering) {
    entries_[region] = Entry{Phase::kEntering, 0, ++clock_, 0};
  }
  commit_under_way_ = true;
  Commit commit{++commits_, {}};
  for (const auto& [region, entry] : entries_) {
    if (entry.phase != Phase::kLeaving) commit.regions.push_back(region);
  }
  std::sort(commit.regions.begin(), commit.regions.end());
  assert(commit.regions.size() <= regions_max_);
  return commit;
}

void ActivityLog::committed(std::uint64_t number, std::vector<Ticket>& started) {
  assert(commit_under_way_ && number == commits_);
  commit_under_way_ = false;
  for (auto item = entries_.begin(); item != entries_.end();) {
    if (item->second.phase == Phase::kEntering) item->second.phase = Phase::kHot;
    item = item->second.phase == Phase::kLeaving ? entries_.erase(item) : std::next(item);
  }
  while (!waiting_.empty() && may_start(waiting_.front().regions, false)) {
    start(waiting_.front().regions);
    started.push_back(waiting_.front().ticket);
    waiting_.pop_front();
  }
}

// The regions used longest ago: those without requests first, then those that must drain.
void ActivityLog::choose_victims(std::size_t count) {
  std::vector<std::tuple<bool, std::uint64_t, RegionIndex>> order;
  for (const auto& [region, entry] : entries_) {
    if (entry.phase == Phase::kHot) order.emplace_back(entry.users > 0, entry.last_use, region);
  }
  count = std::min(count, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end());
  for (std::size_t i = 0; i < count; ++i) {
    const auto [busy, last_use, region] = order[i];
    entries_.at(region).phase = busy ? Phase::kDraining : Phase::kCleaning;
    if (!busy) to_clean_.push_back(region);
  }
}

std::optional<ActivityLog::Cleaning> ActivityLog::take_cleaning() {
  Cleaning cleaning{++cleanings_, {}};
  for (const auto region : to_clean_) {
    const auto found = entries_.find(region);
    if (found == entries_.end() || found->second.phase != Phase::kCleaning || found->second.cleaning != 0) continue;
    found->second.cleaning = cleaning.number;
    cleaning.regions.push_back(region);
  }
  to_clean_.clear();
  if (cleaning.regions.empty()) return std::nullopt;
  std::sort(cleaning.regions.begin(), cleaning.regions.end());
  return cleaning;
}

std::optional<ActivityLog::Cleaning> ActivityLog::next_cleaning() {
  if (!waiting_.empty() && shortage_ > 0) {
    const auto freeing = static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& item) {
      return item.second.phase == Phase::kDraining || item.second.phase == Phase::kCleaning ||
             item.second.phase == Phase::kLeaving;
    }));
    // More than is lacking now, so that a run of new regions does not pay a cleaning each.
    const auto batch = std::max<std::size_t>(shortage_, regions_max_ / 16);
    if (freeing < shortage_) choose_victims(batch - freeing);
  }
  return take_cleaning();
}

std::optional<ActivityLog::Cleaning> ActivityLog::clean_all() {
  for (auto& [region, entry] : entries_) {
    if (entry.phase != Phase::kHot || entry.users > 0) continue;
    entry.phase = Phase::kCleaning;
    entry.cleaning = 0;
    to_clean_.push_back(region);
  }
  return take_cleaning();
}

void ActivityLog::cleaned(const Cleaning& cleaning) {
  for (const auto region : cleaning.regions) {
    const auto found = entries_.find(region);
    if (found == entries_.end() || found->second.cleaning != cleaning.number) continue;
    if (found->second.phase == Phase::kCleaning) found->second.phase = Phase::kClean;
    found->second.cleaning = 0;
  }
}

std::vector<RegionIndex> ActivityLog::regions() const {
  std::vector<RegionIndex> all;
  for (const auto& [region, entry] : entries_) all.push_back(region);
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace drseed::bitmap
