#include "tests/sim/oracle.h"

#include <algorithm>
#include <cassert>

namespace drseed::sim {

Oracle::Oracle(Tags initial, const replicator::Generation& generation) {
  writes_.push_back({kInitialWrite, 0, 0, initial.size(), false, 0, 1, 0, 0, 0});
  begin_reign(replicator::kNoNode, false, initial);
  name_generation(generation, 0);
}

WriteId Oracle::submit(std::uint32_t reign, std::uint64_t first, std::uint64_t count, bool zero, Serial now) {
  const auto id = static_cast<WriteId>(writes_.size() + 1);
  writes_.push_back({id, reign, first, count, zero, now, 0, 0, 0, 0});
  auto& list = reigns_[reign];
  list.writes.push_back(id);
  for (auto sector = first; sector < first + count; ++sector) list.by_sector[sector].push_back(id);
  return id;
}

std::uint32_t Oracle::begin_reign(replicator::NodeIndex node, bool forced, const Tags& base) {
  reigns_.push_back({node, forced, base, std::vector<std::vector<WriteId>>(base.size()), {}});
  return static_cast<std::uint32_t>(reigns_.size() - 1);
}

void Oracle::name_generation(const replicator::Generation& generation, std::uint32_t reign) {
  if (reign_of(generation) < 0) generations_.emplace_back(generation, reign);
}

int Oracle::reign_of(const replicator::Generation& generation) const {
  const auto found = std::find_if(generations_.begin(), generations_.end(),
                                  [&](const auto& each) { return each.first == generation; });
  return found == generations_.end() ? -1 : static_cast<int>(found->second);
}

bool Oracle::holds(Tag tag, const Write& write, std::uint64_t sector,
                   std::span<const WriteId> candidates_for_zero) const {
  if (tag != 0) {
    const auto& found = this->write(write_of(tag));
    return sector_of(tag) == sector && found.covers(sector) && !found.before(write);
  }
  return std::any_of(candidates_for_zero.begin(), candidates_for_zero.end(), [&](WriteId id) {
    const auto& each = this->write(id);
    return each.zero && !each.before(write);
  });
}

}  // namespace drseed::sim
