#include "tests/sim/losses.h"

namespace drseed::sim {

using namespace replicator;

namespace {
// What somebody else's volume holds.
Tags foreign_disk(std::uint64_t sectors) {
  Tags disk(sectors);
  for (std::uint64_t sector = 0; sector < sectors; ++sector) disk[sector] = tag_of(kInitialWrite, sector ^ 1);
  return disk;
}
}  // namespace

NodeRecord Losses::new_record(NodeIndex node) const {
  const auto& before = world_.node(node).record();
  auto record = joined_record(world_.context.parameters, node, before.members, before.members_version);
  record.promise = before.promise;  // a member is replaced by whoever knows what it had promised
  return record;
}

void Losses::replace(NodeIndex node, const Tags& disk, const NodeRecord& record, bool foreign) {
  world_.node(node).replace(disk, record);
  watcher_.replaced(node, foreign);
  world_.set_back &= ~mask_of(node);
}

void Losses::make_blank(NodeIndex node) {
  world_.context.stats.add(Count::kBlankDisks);
  replace(node, Tags(world_.context.parameters.sectors()), new_record(node), false);
}

bool Losses::is_misplaced(NodeIndex node) const {
  const auto& record = world_.node(node).record();
  const auto& file = world_.context.parameters.file;
  return record.mirror != file.mirror_id || record.volume_bytes != file.volume_bytes;
}

void Losses::set_back(NodeIndex node) {
  auto& snapshot = snapshots_[node];
  world_.context.stats.add(Count::kSetBack);
  world_.node(node).put_back(*snapshot);
  snapshot.reset();
  watcher_.replaced(node, false);
  world_.set_back |= mask_of(node);
}

void Losses::happen(NodeIndex node) {
  auto& context = world_.context;
  auto& random = context.random;
  if (context.parameters.loss_percent == 0) return;
  if (!snapshots_[node] && random.percent(40)) snapshots_[node] = world_.node(node).snapshot();
  if (!random.percent(context.parameters.loss_percent)) return;
  const auto choice = random.below(100);
  const auto sectors = context.parameters.sectors();
  if (choice < 30) {
    world_.node(node).lose_log();
  } else if (choice < 65 && snapshots_[node]) {
    set_back(node);
  } else if (choice < 80) {
    make_blank(node);
  } else {
    auto record = new_record(node);
    record.lineage = {{make_id(random()), 0}};
    if (choice < 87) {
      context.stats.add(Count::kForeignDisks);
    } else if (choice < 94) {
      context.stats.add(Count::kOtherMirrors);
      record.mirror = make_id(9);
    } else {
      context.stats.add(Count::kOtherSizes);
      record.volume_bytes += context.parameters.file.block_bytes;
    }
    replace(node, foreign_disk(sectors), record, true);
  }
}

}  // namespace drseed::sim
