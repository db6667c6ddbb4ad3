#include "base/rate_limit.h"

#include <algorithm>
#include <thread>

#include "base/interrupt.h"

namespace drseed {

void RateLimit::wait_for(std::uint64_t bytes) {
  if (bytes_per_second_ == 0) return;
  using std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kBurst{100};
  constexpr std::chrono::milliseconds kStep{100};
  const std::chrono::duration<double> cost(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_));
  steady_clock::time_point until;
  {
    std::lock_guard lock(mutex_);
    next_ = std::max(next_, steady_clock::now() - kBurst) + std::chrono::duration_cast<steady_clock::duration>(cost);
    until = next_;
  }
  // In small steps, so that an interrupt is seen soon at any rate.
  while (steady_clock::now() < until && check_interrupt()) {
    std::this_thread::sleep_until(std::min(until, steady_clock::now() + kStep));
  }
}

}  // namespace drseed
