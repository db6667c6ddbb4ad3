#pragma once
// Progress of a long command: bytes done of a total, rate and time left, on one line of a terminal.
//
// Silent when standard error is not a terminal. add() is thread-safe and costs one atomic addition; a thread of its own
// redraws the line twice a second.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace drseed {

class Progress {
 public:
  // total_bytes 0: not known. `shown` false (a quiet option) keeps it silent on a terminal too.
  Progress(std::string verb, std::uint64_t total_bytes, bool shown);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(std::uint64_t bytes) { done_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  // Bytes that an earlier run did: part of the percentage, not of the rate.
  void add_earlier(std::uint64_t bytes) {
    earlier_bytes_ += bytes;
    add(bytes);
  }
  std::uint64_t done_bytes() const { return done_bytes_.load(std::memory_order_relaxed); }
  double seconds() const;

 private:
  void run();
  std::string line() const;

  const std::string verb_;
  const std::uint64_t total_bytes_;
  std::atomic<std::uint64_t> done_bytes_{0};
  std::atomic<std::uint64_t> earlier_bytes_{0};
  const std::chrono::steady_clock::time_point start_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

// Takes a drawn progress line off the terminal; does nothing where none is drawn.
void progress_line_clear();

}  // namespace drseed
