#include "seed/job.h"

#include <algorithm>
#include <thread>

namespace drseed::seed {

void add_bad(std::vector<BadRange>& list, BadRange bad) {
  // A reason with its digests is for a person, who reads a few.
  constexpr std::size_t kDetailedMax = 1000;
  if (list.size() >= kDetailedMax) bad.reason = "damaged";
  if (!list.empty() && list.back().range.end() == bad.range.offset_bytes && list.back().reason == bad.reason) {
    list.back().range.length_bytes += bad.range.length_bytes;
  } else {
    list.push_back(std::move(bad));
  }
}

std::uint64_t total_bytes(const std::vector<BadRange>& list) {
  std::uint64_t sum = 0;
  for (const auto& bad : list) sum += bad.range.length_bytes;
  return sum;
}

JobShape job_shape(const JobOptions& options, std::uint32_t segment_bytes) {
  constexpr std::size_t kBudgetBytes = 224 << 20;
  constexpr std::size_t kReadAheadMax = 8;
  const std::size_t buffers = kBudgetBytes / segment_bytes;
  JobShape shape{};
  // One thread more than processors: while one waits for its turn or a page, another computes.
  shape.threads = options.threads != 0 ? options.threads : std::thread::hardware_concurrency() + 1;
  shape.read_ahead = std::clamp<std::size_t>(buffers / 6, 2, kReadAheadMax);
  shape.in_flight = std::clamp<std::size_t>(std::size_t{2} * shape.threads, 2,
                                            std::max<std::size_t>(2, (buffers - shape.read_ahead) / 2 - 1));
  shape.threads = static_cast<unsigned>(std::clamp<std::size_t>(shape.threads, 1, shape.in_flight));
  return shape;
}

}  // namespace drseed::seed
