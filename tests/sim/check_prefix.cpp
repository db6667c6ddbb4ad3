#include "tests/sim/check_prefix.h"

#include <algorithm>

namespace drseed::sim {

using namespace replicator;

void PrefixChecker::check(NodeIndex node) {
  auto& found = world_.node(node);
  const auto& record = *found.store().record();
  if (found.in_service() || record.in_service) return;
  check_disk(node, record, found.disk().visible(), whole_[node] ? &found.disk().visible() : nullptr, "now");
}

void PrefixChecker::check_crashed(NodeIndex node, const NodeRecord& record, const Tags& disk,
                                  const Tags& durable_before) {
  if (record.in_service) return;
  check_disk(node, record, disk, whole_[node] ? &durable_before : nullptr, "after a power cut");
}

void PrefixChecker::check_disk(NodeIndex node, const NodeRecord& record, const Tags& disk, const Tags* evidence,
                               const char* when) {
  if (record.inconsistent || record.lineage.empty()) return;
  const auto& oracle = world_.oracle;
  const auto number = oracle.reign_of(record.lineage.back().generation);
  if (number < 0) return;
  const auto& reign = oracle.reign(static_cast<std::uint32_t>(number));
  if (reign.node == node && !whole_[node]) return;  // its own reign may have begun on what was not durable
  world_.context.stats.add(Count::kPrefixChecks);
  const Write* newest = nullptr;  // of those on the disk, the one submitted last
  for (std::uint64_t sector = 0; sector < disk.size(); ++sector) {
    const auto& list = reign.by_sector[sector];
    const auto tag = disk[sector];
    const bool known = tag == reign.base[sector] || std::any_of(list.begin(), list.end(), [&](WriteId id) {
                         return oracle.write(id).zero ? tag == 0 : tag == tag_of(id, sector);
                       });
    if (!known) {
      return world_.context.violate(
          "prefix",
          "{}: n{} calls itself consistent, but sector {} holds write {}, and held write {} when "
          "the reign of n{} began",
          when, node, sector, write_of(tag), write_of(reign.base[sector]), reign.node);
    }
    if (evidence == nullptr || (*evidence)[sector] == 0 || (*evidence)[sector] == reign.base[sector]) continue;
    const auto& seen = oracle.write(write_of((*evidence)[sector]));
    if (seen.reign == static_cast<std::uint32_t>(number) && (newest == nullptr || seen.submitted > newest->submitted))
      newest = &seen;
  }
  if (newest == nullptr) return;
  for (const auto id : reign.writes) {
    const auto& write = oracle.write(id);
    if (!write.before(*newest)) continue;
    for (auto sector = write.first; sector < write.first + write.count; ++sector) {
      const auto tag = disk[sector];
      if (oracle.holds(tag, write, sector, reign.by_sector[sector])) continue;
      return world_.context.violate("prefix",
                                    "{}: n{} calls itself consistent and holds write {}, but not write {}, which was "
                                    "acknowledged before: sector {} holds write {}",
                                    when, node, newest->id, id, sector, write_of(tag));
    }
  }
}

}  // namespace drseed::sim
