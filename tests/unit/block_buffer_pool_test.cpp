// block/buffer_pool: alignment, exhaustion, waiting and stopping.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "block/buffer_pool.h"

namespace drseed::block {
namespace {

TEST(BufferPool, BuffersArePageAlignedAndDistinct) {
  BufferPool pool(3, 5000);
  EXPECT_EQ(pool.capacity_bytes(), 8192u);
  std::set<std::uint8_t*> seen;
  std::vector<Buffer> taken;
  for (int i = 0; i < 3; ++i) {
    taken.push_back(pool.take());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(taken.back().data()) % 4096, 0u);
    std::memset(taken.back().data(), i, taken.back().capacity());
    seen.insert(taken.back().data());
  }
  EXPECT_EQ(seen.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(taken[static_cast<std::size_t>(i)].data()[8191], i);
}

TEST(BufferPool, TryTakeIsEmptyWhereNoneIsFreeAndSucceedsOnceOneIsBack) {
  BufferPool pool(1, 4096);
  Buffer first = pool.try_take();
  EXPECT_TRUE(first);
  EXPECT_FALSE(pool.try_take());
  first = Buffer();
  EXPECT_TRUE(pool.try_take());
}

TEST(BufferPool, TakeWaitsForABufferThatAnotherThreadGivesBack) {
  BufferPool pool(1, 4096);
  Buffer held = pool.take();
  std::thread other([&pool] { EXPECT_TRUE(pool.take()); });
  held = Buffer();
  other.join();
}

TEST(BufferPool, StopWakesWaitersWithAnEmptyBuffer) {
  BufferPool pool(1, 4096);
  const Buffer held = pool.take();
  std::thread waiter([&pool] { EXPECT_FALSE(pool.take()); });
  pool.stop();
  waiter.join();
  EXPECT_FALSE(pool.try_take());
}

TEST(BufferPool, MovedFromBufferIsEmptyAndGivesNothingBack) {
  BufferPool pool(1, 4096);
  Buffer first = pool.take();
  Buffer second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: what a moved-from buffer is, is the point
  EXPECT_TRUE(second);
  EXPECT_FALSE(pool.try_take());
}

TEST(BufferPoolDeathTest, FirstBeyondTheCapacityIsAProgrammerError) {
  BufferPool pool(1, 4096);
  const Buffer buffer = pool.take();
  EXPECT_DEATH((void)buffer.first(4097), "length <= capacity");
}

}  // namespace
}  // namespace drseed::block
