#pragma once
// A queue of bounded length between threads, for a pipeline that can be stopped from either end.

#include <cassert>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

namespace drseed {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t length_max) : length_max_(length_max) { assert(length_max > 0); }

  // Waits for room. False when the queue was stopped; the item is dropped then.
  [[nodiscard]] bool push(T item) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return stopped_ || items_.size() < length_max_; });
    if (stopped_) return false;
    assert(!finished_);
    items_.push_back(std::move(item));
    filled_.notify_one();
    return true;
  }

  // Waits for an item. Nothing when the queue was stopped, or finished and is empty.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return stopped_ || finished_ || !items_.empty(); });
    return take();
  }

  // As pop, without waiting.
  std::optional<T> try_pop() {
    std::unique_lock lock(mutex_);
    return take();
  }

  // No more items will come: pop() hands out the rest.
  void finish() {
    std::lock_guard lock(mutex_);
    finished_ = true;
    filled_.notify_all();
  }

  // An error elsewhere: both ends return at once, items are dropped.
  void stop() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    items_.clear();
    room_.notify_all();
    filled_.notify_all();
  }

 private:
  std::optional<T> take() {
    if (stopped_ || items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    room_.notify_one();
    return item;
  }

  const std::size_t length_max_;
  std::mutex mutex_;
  std::condition_variable room_, filled_;
  std::deque<T> items_;
  bool finished_ = false;
  bool stopped_ = false;
};

}  // namespace drseed
