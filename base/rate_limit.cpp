#include "base/rate_limit.h"

#include <algorithm>
#include <thread>

namespace drseed {

void RateLimit::wait_for(std::uint64_t bytes) {
  if (bytes_per_second_ == 0) return;
  using std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kBurst{100};
  const std::chrono::duration<double> cost(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_));
  steady_clock::time_point until;
  {
    std::lock_guard lock(mutex_);
    next_ = std::max(next_, steady_clock::now() - kBurst) + std::chrono::duration_cast<steady_clock::duration>(cost);
    until = next_;
  }
  std::this_thread::sleep_until(until);
}

}  // namespace drseed
