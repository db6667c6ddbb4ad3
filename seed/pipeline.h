#pragma once
// One producer, several workers, one consumer in the producer's order: the shape of imaging, verifying and applying.
//
// produce() runs in a thread of its own, the work in `threads` threads, consume() in the caller's thread. At most
// `in_flight_max` items exist between produce() and the end of consume(): that bounds memory and the reordering. The
// first Error of any of the three stops all and is returned; items in flight are dropped.

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/bounded_queue.h"
#include "base/interrupt.h"
#include "base/result.h"

namespace drseed::seed {

namespace detail {

// What the threads of one run share: items in flight, finished ones waiting for their turn, and the first error.
template <typename Output>
class PipelineState {
 public:
  explicit PipelineState(std::size_t in_flight_max) : in_flight_max_(in_flight_max) {}

  // Waits for room for one more item. False once the run has stopped.
  bool enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return error_ || in_flight_ < in_flight_max_; });
    if (error_) return false;
    ++in_flight_;
    return true;
  }

  void finish_production(std::uint64_t count) {
    std::lock_guard lock(mutex_);
    produced_ = count;
    changed_.notify_all();
  }

  void deliver(std::uint64_t number, Output output) {
    std::lock_guard lock(mutex_);
    done_.emplace(number, std::move(output));
    changed_.notify_all();
  }

  // The output with that number; nothing at the end, or once the run has stopped.
  std::optional<Output> take(std::uint64_t number) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || done_.contains(number) || produced_ == number; });
    if (error_ || !done_.contains(number)) return std::nullopt;
    auto node = done_.extract(number);
    return std::move(node.mapped());
  }

  void leave() {
    std::lock_guard lock(mutex_);
    --in_flight_;
    changed_.notify_all();
  }

  void stop(Error error) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    changed_.notify_all();
  }

  std::optional<Error> take_error() { return std::move(error_); }

 private:
  const std::size_t in_flight_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t in_flight_ = 0;
  std::map<std::uint64_t, Output> done_;
  std::optional<std::uint64_t> produced_;
  std::optional<Error> error_;
};

}  // namespace detail

// produce: () -> Result<std::optional<Job>>, nothing at the end.
// make_worker: () -> a callable (Job) -> Result<Output>; each thread makes and keeps its own.
// consume: (Output) -> Result<>.
// wake_producer: () called when the run stops early, so that a produce() that waits for a buffer returns.
template <typename Job, typename Output, typename Produce, typename MakeWorker, typename Consume, typename Wake>
Result<> run_pipeline(unsigned threads, std::size_t in_flight_max, Produce produce, MakeWorker make_worker,
                      Consume consume, Wake wake_producer) {
  using Numbered = std::pair<std::uint64_t, Job>;
  detail::PipelineState<Output> state(in_flight_max);
  BoundedQueue<Numbered> jobs(in_flight_max);
  const auto stop = [&](Error error) {
    state.stop(std::move(error));
    jobs.stop();
    wake_producer();
  };

  const auto produce_all = [&] {
    std::uint64_t count = 0;
    while (state.enter()) {
      auto interrupt = check_interrupt();
      if (!interrupt) return stop(std::move(interrupt).error());
      auto job = produce();
      if (!job) return stop(std::move(job).error());
      if (!*job) break;
      if (!jobs.push({count, std::move(**job)})) return;
      ++count;
    }
    jobs.finish();
    state.finish_production(count);
  };

  const auto work_all = [&] {
    auto worker = make_worker();
    while (auto job = jobs.pop()) {
      auto output = worker(std::move(job->second));
      if (!output) return stop(std::move(output).error());
      state.deliver(job->first, std::move(*output));
    }
  };

  std::vector<std::thread> running;
  running.emplace_back(produce_all);
  for (unsigned i = 0; i < threads; ++i) running.emplace_back(work_all);
  for (std::uint64_t number = 0; auto output = state.take(number); ++number) {
    auto result = consume(std::move(*output));
    if (!result) {
      stop(std::move(result).error());
      break;
    }
    state.leave();
  }
  for (auto& thread : running) thread.join();
  if (auto error = state.take_error()) return tl::unexpected(std::move(*error));
  return {};
}

}  // namespace drseed::seed
