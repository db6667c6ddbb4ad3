#pragma once
// What a history is like: how many nodes, how large, how fast, how often what fails. All drawn from its seed.

#include <cstdint>
#include <optional>

#include "bitmap/bitmap_format.h"
#include "replicator/core/engine.h"
#include "tests/sim/random.h"
#include "tests/sim/tags.h"

namespace drseed::sim {

struct Options {
  std::uint64_t seed = 1;
  std::optional<unsigned> nodes;
  replicator::Bug bug = replicator::Bug::kNone;
  bool show_trace = false;
};

struct Parameters {
  unsigned nodes = 3;
  replicator::NodeMask sync_targets = 0;
  bitmap::FileInfo file;
  replicator::Settings settings;
  replicator::Bug bug = replicator::Bug::kNone;
  std::uint64_t initial_zero_percent = 0;

  Time busy_time = 0;  // then faults and clients end, and all heals
  unsigned queue_depth = 1;
  Time think_time = 0;  // most, between a client's requests
  Time disk_time = 0;   // most, for one disk operation
  Time store_time = 0;  // most, for one store operation
  Time link_time = 0;   // most, for one frame
  Time tick_time = 0;
  Time fault_time = 0;     // most, between two faults
  Time operator_time = 0;  // most, between two acts of an operator
  Time check_time = 0;     // most, between two checks of "what if all crashed now"
  unsigned flush_percent = 0;
  unsigned zero_percent = 0;
  unsigned read_percent = 0;
  unsigned fua_percent = 0;
  Time seed_time = 0;             // most, between the begins of two seeds; 0: none
  unsigned loss_percent = 0;      // of crashes after which a disk or a log is not what it was
  std::uint64_t hot_sectors = 0;  // most writes go to the first so many

  std::uint64_t sectors() const { return file.volume_bytes / kSectorBytes; }
  // Requests are split before they reach the core: a piece takes at most a quarter of the activity log.
  std::uint64_t request_sectors_max() const { return (file.log_regions / 4 - 1) * file.region_bytes / kSectorBytes; }
  std::uint64_t sectors_per_block() const { return file.block_bytes / kSectorBytes; }
};

Parameters draw_parameters(const Options& options, Random& random);

// What a history begins with on a node: all members equal and consistent, none in service.
replicator::NodeRecord initial_record(const Parameters& parameters, replicator::NodeIndex self);

// As all know it.
replicator::Member member_of(const Parameters& parameters, replicator::NodeIndex node);
// A member that knows nothing of the others yet, and has no history.
replicator::NodeRecord joined_record(const Parameters& parameters, replicator::NodeIndex self,
                                     const std::array<replicator::Member, replicator::kNodesMax>& members,
                                     std::uint32_t members_version);

Id make_id(std::uint64_t number);

}  // namespace drseed::sim
