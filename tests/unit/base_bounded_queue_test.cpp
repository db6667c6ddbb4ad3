// base/bounded_queue: order, waiting at both ends, finishing and stopping.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/bounded_queue.h"
#include "base/file.h"

namespace drseed {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

// A thread whose waiting can itself be waited for, as the kernel shows it: no pause that a busy machine makes too
// short.
class WatchedThread {
 public:
  explicit WatchedThread(std::function<void()> body)
      : thread_([this, body = std::move(body)] {
          id_ = gettid();
          id_.notify_one();
          body();
        }) {}
  ~WatchedThread() { thread_.join(); }
  WatchedThread(const WatchedThread&) = delete;
  WatchedThread& operator=(const WatchedThread&) = delete;

  // True as soon as the thread is blocked, false where it ended instead, or is still running after a minute.
  bool wait_until_blocked() const {
    id_.wait(0);
    const auto deadline = steady_clock::now() + 1min;
    while (steady_clock::now() < deadline) {
      const auto stat = read_file("/proc/self/task/" + std::to_string(id_) + "/stat", 4096);
      if (!stat) return false;
      // "id (name) state ...", where the name may hold anything.
      const auto state = stat->at(stat->rfind(')') + 2);
      if (state == 'S') return true;
      if (state == 'Z' || state == 'X') return false;
      std::this_thread::yield();
    }
    return false;
  }

 private:
  std::atomic<pid_t> id_{0};
  std::thread thread_;
};

TEST(BoundedQueueTest, ItemsComeInTheirOrder) {
  BoundedQueue<int> queue(3);
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(queue.push(i));
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(queue.pop(), i);
  EXPECT_EQ(queue.try_pop(), std::nullopt);
}

TEST(BoundedQueueTest, FullQueueHoldsThePusherBack) {
  BoundedQueue<int> queue(2);
  std::atomic<int> pushed{0};
  const WatchedThread pusher([&] {
    for (int i = 0; i < 5; ++i) {
      if (queue.push(i)) ++pushed;
    }
    queue.finish();
  });
  EXPECT_TRUE(pusher.wait_until_blocked());
  EXPECT_EQ(pushed, 2);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.pop(), i);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueueTest, FinishedQueueHandsOutTheRest) {
  BoundedQueue<int> queue(3);
  ASSERT_TRUE(queue.push(1));
  ASSERT_TRUE(queue.push(2));
  queue.finish();
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.try_pop(), 2);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueueTest, FinishWakesEveryWaitingPopper) {
  BoundedQueue<int> queue(1);
  std::list<WatchedThread> poppers;
  for (int i = 0; i < 3; ++i) poppers.emplace_back([&] { EXPECT_EQ(queue.pop(), std::nullopt); });
  for (const auto& popper : poppers) EXPECT_TRUE(popper.wait_until_blocked());
  queue.finish();
}

TEST(BoundedQueueTest, StoppedQueueDropsItsItems) {
  BoundedQueue<std::shared_ptr<int>> queue(2);
  const auto item = std::make_shared<int>(1);
  ASSERT_TRUE(queue.push(item));
  queue.stop();
  EXPECT_EQ(item.use_count(), 1);
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_FALSE(queue.push(item));
}

TEST(BoundedQueueTest, StopWakesBothEnds) {
  BoundedQueue<int> full(1);
  BoundedQueue<int> empty(1);
  ASSERT_TRUE(full.push(1));
  std::list<WatchedThread> waiting;
  for (int i = 0; i < 2; ++i) {
    waiting.emplace_back([&] { EXPECT_FALSE(full.push(2)); });
    waiting.emplace_back([&] { EXPECT_EQ(empty.pop(), std::nullopt); });
  }
  for (const auto& thread : waiting) EXPECT_TRUE(thread.wait_until_blocked());
  full.stop();
  empty.stop();
}

}  // namespace
}  // namespace drseed
