// The pipeline of every job, and the spool that keeps an index while it is made.

#include "seed/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <vector>

#include "block/buffer_pool.h"
#include "seed/entry_spool.h"

namespace drseed::seed {
namespace {

// ---- spool ----

IndexEntry numbered_entry(std::uint64_t number) {
  IndexEntry entry{};
  entry.offset_bytes = number;
  entry.kind = static_cast<std::uint16_t>(number % 3 == 0 ? EntryKind::kZeros : EntryKind::kData);
  return entry;
}

TEST(EntrySpool, KeepsOrderFarBeyondItsMemory) {
  constexpr std::uint64_t kCount = 3 * 16384 + 100;
  EntrySpool spool;
  for (int round = 0; round < 2; ++round) {
    std::uint64_t data = 0;
    for (std::uint64_t i = 0; i < kCount; ++i) {
      ASSERT_TRUE(spool.add(numbered_entry(i)));
      data += i % 3 != 0;
      if (i != 20000) continue;
      ASSERT_EQ(spool.at(5)->offset_bytes, 5U);  // reading between writing
    }
    EXPECT_EQ(spool.count(), kCount);
    EXPECT_EQ(spool.data_count(), data);
    std::uint64_t next = 0;
    ASSERT_TRUE(spool.for_each([&](const IndexEntry& entry) -> Result<> {
      EXPECT_EQ(entry.offset_bytes, next++);
      return {};
    }));
    EXPECT_EQ(next, kCount);
    std::mt19937_64 random(8);
    for (int i = 0; i < 50; ++i) {
      const auto number = random() % kCount;
      ASSERT_EQ(spool.at(number)->offset_bytes, number);
    }
    spool.clear();
    EXPECT_EQ(spool.count(), 0U);
    EXPECT_EQ(spool.data_count(), 0U);
  }
}

TEST(EntrySpool, AVisitThatFailsEndsTheWalk) {
  EntrySpool spool;
  for (std::uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(spool.add(numbered_entry(i)));
  int visits = 0;
  const auto result = spool.for_each([&](const IndexEntry&) -> Result<> {
    if (++visits == 4) return fail(ErrorCode::kUsage, "enough");
    return {};
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(visits, 4);
}

// ---- pipeline ----

// A number that threads wait for.
class Counter {
 public:
  void add(int change) {
    std::lock_guard lock(mutex_);
    value_ += change;
    max_ = std::max(max_, value_);
    changed_.notify_all();
  }
  void wait_for(int at_least) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return value_ >= at_least; });
  }
  int max() {
    std::lock_guard lock(mutex_);
    return max_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int value_ = 0, max_ = 0;
};

const auto no_wake = [] {};

auto count_to(int end) {
  return [next = 0, end]() mutable -> Result<std::optional<int>> {
    if (next == end) return std::nullopt;
    return next++;
  };
}

TEST(Pipeline, KeepsTheOrderWhateverWorkerIsLast) {
  constexpr int kItems = 40, kThreads = 4;
  Counter finished;
  std::vector<int> seen;
  // The first of every four waits until the three after it are done.
  const auto make_worker = [&] {
    return [&](int number) -> Result<int> {
      if (number % kThreads == 0) finished.wait_for(number / kThreads * (kThreads - 1) + kThreads - 1);
      if (number % kThreads != 0) finished.add(1);
      return number * 10;
    };
  };
  const auto result = run_pipeline<int, int>(
      kThreads, 2 * kThreads, count_to(kItems), make_worker,
      [&](int output) -> Result<> {
        seen.push_back(output);
        return {};
      },
      no_wake);
  ASSERT_TRUE(result);
  ASSERT_EQ(seen.size(), static_cast<std::size_t>(kItems));
  for (int i = 0; i < kItems; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i * 10);
}

TEST(Pipeline, NoMoreItemsExistThanAllowedAndASlowConsumerDoesNotBlockIt) {
  constexpr int kInFlight = 5;
  Counter alive;
  int produced = 0;
  const auto produce = [&]() -> Result<std::optional<int>> {
    if (produced == 50) return std::nullopt;
    alive.add(1);
    return produced++;
  };
  int consumed = 0;
  const auto result = run_pipeline<int, int>(
      3, kInFlight, produce, [] { return [](int number) -> Result<int> { return number; }; },
      [&](int) -> Result<> {
        // As slow as can be: not before everything that is allowed is in flight.
        alive.wait_for(std::min(kInFlight, 50 - consumed));
        ++consumed;
        alive.add(-1);
        return {};
      },
      no_wake);
  ASSERT_TRUE(result);
  EXPECT_EQ(consumed, 50);
  EXPECT_EQ(alive.max(), kInFlight);
}

TEST(Pipeline, NothingToProduceIsNoError) {
  EXPECT_TRUE((run_pipeline<int, int>(
      2, 2, count_to(0), [] { return [](int number) -> Result<int> { return number; }; },
      [](int) -> Result<> { return fail(ErrorCode::kUsage, "nothing came"); }, no_wake)));
}

TEST(Pipeline, AnErrorInProduceStopsAllAndIsReturned) {
  std::atomic<int> wakes{0};
  const auto result = run_pipeline<int, int>(
      2, 3,
      [next = 0]() mutable -> Result<std::optional<int>> {
        if (next == 10) return fail(ErrorCode::kDiffers, "produce");
        return next++;
      },
      [] { return [](int number) -> Result<int> { return number; }; }, [](int) -> Result<> { return {}; },
      [&] { ++wakes; });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().context, "produce");
  EXPECT_GE(wakes, 1);
}

TEST(Pipeline, AnErrorInAWorkerStopsAllAndIsReturned) {
  for (const int bad : {0, 7}) {
    const auto result = run_pipeline<int, int>(
        3, 4, count_to(1 << 30),
        [&] {
          return [bad](int number) -> Result<int> {
            if (number == bad) return fail(ErrorCode::kEnvironment, "worker");
            return number;
          };
        },
        [](int) -> Result<> { return {}; }, no_wake);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().context, "worker");
  }
}

TEST(Pipeline, AnErrorInConsumeStopsAllAndIsReturned) {
  int consumed = 0;
  const auto result = run_pipeline<int, int>(
      3, 4, count_to(1 << 30), [] { return [](int number) -> Result<int> { return number; }; },
      [&](int) -> Result<> {
        if (++consumed == 5) return fail(ErrorCode::kRefused, "consume");
        return {};
      },
      no_wake);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().context, "consume");
  EXPECT_EQ(consumed, 5);
}

// Producer and workers wait for buffers that only the consumer gives back, as in every job.
TEST(Pipeline, AProducerThatWaitsForABufferIsWoken) {
  block::BufferPool pool(2, 4096);
  Counter producing;
  const auto result = run_pipeline<block::Buffer, block::Buffer>(
      2, 4,
      [&]() -> Result<std::optional<block::Buffer>> {
        producing.add(1);
        auto buffer = pool.take();
        if (!buffer) return fail(ErrorCode::kInterrupted, "stopped");
        return buffer;
      },
      [] { return [](block::Buffer buffer) -> Result<block::Buffer> { return buffer; }; },
      [&](block::Buffer) -> Result<> {
        producing.wait_for(3);  // the third waits for a buffer, or is about to
        return fail(ErrorCode::kDiffers, "the first error");
      },
      [&] { pool.stop(); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().context, "the first error");
}

}  // namespace
}  // namespace drseed::seed
