#pragma once
// What the jobs (image, verify, apply, checksum) share: options, limits, and how many threads and buffers they use.

#include <cstdint>
#include <string>
#include <vector>

#include "base/rate_limit.h"
#include "seed/image_format.h"

namespace drseed::seed {

struct JobOptions {
  unsigned threads = 0;                // 0: as many as there are processors, and one more
  std::uint64_t rate_limit_bytes = 0;  // a second; 0: none
  bool progress = true;                // on a terminal
};

// A range that is not as it should be.
struct BadRange {
  Range range;
  std::string reason;
};

// Adds a range, merging it with the one before where they touch and have the same reason. Behind the first thousand the
// reason is only "damaged", so that the list for a wholly damaged image stays short.
void add_bad(std::vector<BadRange>& list, BadRange bad);
std::uint64_t total_bytes(const std::vector<BadRange>& list);

struct JobShape {
  unsigned threads;
  std::size_t in_flight;   // segments between producer and consumer
  std::size_t read_ahead;  // reads of a disk under way
};

// Keeps two buffers for each segment in flight, and the read-ahead, within 224 MiB.
JobShape job_shape(const JobOptions& options, std::uint32_t segment_bytes);

}  // namespace drseed::seed
