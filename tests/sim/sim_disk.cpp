#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <cassert>

namespace drseed::sim {

SimDisk::UnderWay SimDisk::take(std::uint64_t op) {
  const auto found =
      std::find_if(under_way_.begin(), under_way_.end(), [&](const auto& each) { return each.op == op; });
  assert(found != under_way_.end());
  const auto taken = *found;
  under_way_.erase(found);
  return taken;
}

void SimDisk::start_write(std::uint64_t op, std::uint64_t first, std::span<const Tag> tags) {
  assert(first + tags.size() <= sectors());
  under_way_.push_back({op, first, tags.size(), 0});
  for (std::size_t i = 0; i < tags.size(); ++i) {
    if (pending_[first + i].empty()) dirty_.push_back(first + i);
    pending_[first + i].push_back({tags[i], op, 0});
  }
}

void SimDisk::end_write(std::uint64_t op) {
  const auto write = take(op);
  ++completions_;
  for (auto sector = write.first; sector < write.first + write.count; ++sector) {
    auto& versions = pending_[sector];
    const auto ended = std::find_if(versions.begin(), versions.end(),
                                    [&](const auto& each) { return each.op == op && each.completed == 0; });
    const auto first_under_way =
        std::find_if(versions.begin(), versions.end(), [](const auto& each) { return each.completed == 0; });
    ended->completed = completions_;
    set_visible(sector, ended->tag);
    std::rotate(first_under_way, ended, ended + 1);
  }
}

void SimDisk::start_flush(std::uint64_t op) {
  under_way_.push_back({op, 0, 0, completions_});
}

void SimDisk::end_flush(std::uint64_t op) {
  const auto limit = take(op).completions;
  std::vector<std::uint64_t> still_dirty;
  for (const auto sector : dirty_) {
    auto& versions = pending_[sector];
    const auto later = std::find_if(versions.begin(), versions.end(),
                                    [&](const auto& each) { return each.completed == 0 || each.completed > limit; });
    if (later != versions.begin()) set_durable(sector, std::prev(later)->tag);
    versions.erase(versions.begin(), later);
    if (!versions.empty()) still_dirty.push_back(sector);
  }
  dirty_ = std::move(still_dirty);
}

void SimDisk::put(std::uint64_t first, std::span<const Tag> tags) {
  for (std::size_t i = 0; i < tags.size(); ++i) {
    assert(pending_[first + i].empty());
    set_durable(first + i, tags[i]);
    set_visible(first + i, tags[i]);
  }
}

Tags SimDisk::read(std::uint64_t first, std::uint64_t count) const {
  Tags tags(count);
  for (std::uint64_t i = 0; i < count; ++i) tags[i] = visible_[first + i] | (rot_[first + i] ? kRotten : 0);
  return tags;
}

bool SimDisk::make_rotten(std::uint64_t sector) {
  if (!pending_[sector].empty()) return false;
  rot_[sector] = durable_rot_[sector] = ever_rotten_ = true;
  return true;
}

void SimDisk::crash(Random& random) {
  for (const auto sector : dirty_) {
    auto& versions = pending_[sector];
    const auto choice = random.below(versions.size() + 1);
    if (choice > 0) set_durable(sector, versions[choice - 1].tag);
    visible_[sector] = durable_[sector];
    rot_[sector] = durable_rot_[sector];
    versions.clear();
  }
  dirty_.clear();
  under_way_.clear();
}

void SimDisk::abandon(Random& random) {
  const auto operations = under_way_;
  for (const auto& each : operations) {
    if (each.count == 0) {
      take(each.op);
    } else if (random.percent(50)) {
      end_write(each.op);
    } else {
      for (auto sector = each.first; sector < each.first + each.count; ++sector)
        std::erase_if(pending_[sector],
                      [&](const auto& version) { return version.completed == 0 && version.op == each.op; });
      take(each.op);
    }
  }
  std::erase_if(dirty_, [&](auto sector) { return pending_[sector].empty(); });
}

}  // namespace drseed::sim
