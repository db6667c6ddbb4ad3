#pragma once
// Keeps the average rate of several threads at or below a limit (--limit-rate). Thread-safe.

#include <chrono>
#include <cstdint>
#include <mutex>

namespace drseed {

class RateLimit {
 public:
  // bytes_per_second 0: no limit.
  explicit RateLimit(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // Returns when `bytes` more may pass, or at an interrupt. Unused time is not saved up beyond a tenth of a second.
  void wait_for(std::uint64_t bytes);

 private:
  const std::uint64_t bytes_per_second_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace drseed
