#include "tests/sim/parameters.h"

#include <cstring>

#include "replicator/core/limits.h"

namespace drseed::sim {

Id make_id(std::uint64_t number) {
  Id id;
  std::memcpy(id.bytes.data(), &number, sizeof number);
  id.bytes[15] = 1;
  return id;
}

Parameters draw_parameters(const Options& options, Random& random) {
  Parameters drawn;
  drawn.nodes = options.nodes.value_or(static_cast<unsigned>(random.percent(30) ? 2 : random.between(2, 4)));
  drawn.bug = options.bug;
  for (unsigned node = 0; node < replicator::kNodesMax; ++node) {
    if (random.percent(50)) drawn.sync_targets |= replicator::mask_of(static_cast<replicator::NodeIndex>(node));
  }
  auto& file = drawn.file;
  file.file_id = make_id(7);
  file.mirror_id = make_id(8);
  file.block_bytes = 4096;
  constexpr std::uint32_t kRegionBytes[] = {4096, 8192, 8192, 16384};
  file.region_bytes = kRegionBytes[random.below(4)];
  file.log_regions = random.percent(80) ? 16 : 32;
  file.volume_bytes = (random.percent(75) ? random.between(40, 96) : random.between(96, 192)) * file.block_bytes;
  if (random.percent(25)) file.volume_bytes -= random.between(1, 7) * kSectorBytes;

  auto& settings = drawn.settings;
  settings.block_bytes = file.block_bytes;
  settings.region_bytes = file.region_bytes;
  settings.log_regions = file.log_regions;
  settings.durable_interval_ms = random.between(2, 30);
  settings.return_wait_ms = random.percent(40) ? random.between(5, 30) : random.between(50, 200);
  constexpr std::uint32_t kRemembered[] = {8, 32, 128, replicator::kRememberedWritesMax};
  settings.remembered_max = kRemembered[random.below(4)];
  settings.auto_return = random.percent(80);
  if (random.percent(30)) {
    settings.async_limit = static_cast<std::uint32_t>(random.between(4, 16));
    settings.throttle = random.percent(50);
    settings.throttle_ms_max = random.between(5, 40);
  }

  drawn.initial_zero_percent = random.percent(50) ? 30 : 0;
  drawn.busy_time = random.between(50'000, 250'000);
  drawn.queue_depth = static_cast<unsigned>(random.percent(30) ? 1 : random.between(2, 32));
  drawn.think_time = random.between(500, 3000);
  drawn.disk_time = random.between(50, 1500);
  drawn.store_time = random.between(50, 1000);
  drawn.link_time = random.between(50, 3000);
  drawn.tick_time = random.between(3000, 6000);
  drawn.fault_time = random.between(5'000, 60'000);
  drawn.operator_time = random.between(5'000, 60'000);
  drawn.check_time = random.between(20'000, 100'000);
  drawn.flush_percent = static_cast<unsigned>(random.between(1, 20));
  drawn.zero_percent = static_cast<unsigned>(random.between(0, 20));
  drawn.read_percent = static_cast<unsigned>(random.between(5, 40));
  drawn.fua_percent = static_cast<unsigned>(random.between(0, 20));
  drawn.seed_time = random.percent(60) ? random.between(10'000, 60'000) : 0;
  drawn.loss_percent = static_cast<unsigned>(random.percent(40) ? random.between(5, 30) : 0);
  drawn.hot_sectors = random.between(16, drawn.sectors());
  return drawn;
}

replicator::Member member_of(const Parameters& parameters, replicator::NodeIndex node) {
  replicator::Member member;
  member.present = true;
  member.sync = (parameters.sync_targets >> node & 1) != 0;
  member.id = make_id(100 + node);
  member.name = "n" + std::to_string(node);
  return member;
}

replicator::NodeRecord joined_record(const Parameters& parameters, replicator::NodeIndex self,
                                     const std::array<replicator::Member, replicator::kNodesMax>& members,
                                     std::uint32_t members_version) {
  replicator::NodeRecord record;
  record.mirror = parameters.file.mirror_id;
  record.volume_bytes = parameters.file.volume_bytes;
  record.self = self;
  record.members = members;
  record.members_version = members_version;
  return record;
}

replicator::NodeRecord initial_record(const Parameters& parameters, replicator::NodeIndex self) {
  std::array<replicator::Member, replicator::kNodesMax> members;
  for (unsigned node = 0; node < parameters.nodes; ++node)
    members[node] = member_of(parameters, static_cast<replicator::NodeIndex>(node));
  auto record = joined_record(parameters, self, members, 1);
  for (unsigned node = 0; node < parameters.nodes; ++node) record.peers[node].slot_valid = node != self;
  record.lineage = {{make_id(1000), 0}};
  return record;
}

}  // namespace drseed::sim
