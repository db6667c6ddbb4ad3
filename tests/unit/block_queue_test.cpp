// block/io_queue: both engines, against the same rules.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "block/buffer_pool.h"
#include "block/device.h"
#include "block/io_queue.h"
#include "block_test_support.h"

namespace drseed::block {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

class Queue : public testing::TestWithParam<IoEngine> {
 protected:
  std::unique_ptr<IoQueue> make_queue(Device& device, std::size_t depth) {
    auto queue = make_io_queue(device, depth, GetParam());
    EXPECT_TRUE(queue) << queue.error().message();
    return queue ? std::move(*queue) : nullptr;
  }
  void SetUp() override {
    const auto device = open_device(make_file(folder_ / "probe", 4096));
    if (!make_io_queue(*device, 1, GetParam())) GTEST_SKIP() << "io_uring is not to be had";
  }

  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Engines, Queue, testing::Values(IoEngine::kUring, IoEngine::kThreads),
                         [](const auto& engine_or_mode) {
                           return engine_or_mode.param == IoEngine::kUring ? "Uring" : "Threads";
                         });

IoRequest read_request(std::span<std::uint8_t> bytes, std::uint64_t offset_bytes, std::uint64_t tag = 0) {
  return {IoKind::kRead, bytes.data(), static_cast<std::uint32_t>(bytes.size()), offset_bytes, tag};
}
IoRequest write_request(std::span<std::uint8_t> bytes, std::uint64_t offset_bytes, std::uint64_t tag = 0) {
  return {IoKind::kWrite, bytes.data(), static_cast<std::uint32_t>(bytes.size()), offset_bytes, tag};
}
IoRequest flush_request(std::uint64_t tag = 0) {
  return {IoKind::kFlush, nullptr, 0, 0, tag};
}

int complete(IoQueue& queue, const IoRequest& request) {
  queue.submit(request);
  return queue.wait().system_errno;
}

TEST_P(Queue, EveryRequestCompletesOnceWithItsTag) {
  const auto device = open_device(make_file(folder_ / "disk", kMiB));
  const auto queue = make_queue(*device, 32);
  EXPECT_EQ(queue->depth(), 32u);
  EXPECT_EQ(queue->engine_name(), GetParam() == IoEngine::kUring ? "io_uring" : "threads");
  BufferPool pool(32, 4096);
  std::map<std::uint64_t, Buffer> out;
  std::set<std::uint64_t> seen;
  for (std::uint64_t tag = 0; tag < 1000 || queue->in_flight() > 0;) {
    if (tag < 1000 && queue->in_flight() < queue->depth()) {
      Buffer buffer = pool.take();
      queue->submit(read_request(buffer.first(4096), tag % 256 * 4096, tag));
      out.emplace(tag++, std::move(buffer));
      continue;
    }
    const auto completion = queue->wait();
    EXPECT_EQ(completion.system_errno, 0);
    EXPECT_TRUE(seen.insert(completion.tag).second);
    out.erase(completion.tag);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST_P(Queue, InFlightCountsUntilTheCompletionIsReturned) {
  const auto device = open_device(make_file(folder_ / "disk", kMiB));
  const auto queue = make_queue(*device, 4);
  BufferPool pool(1, 4096);
  const Buffer buffer = pool.take();
  queue->submit(read_request(buffer.first(0), 0));  // completes at once
  EXPECT_EQ(queue->in_flight(), 1u);
  EXPECT_EQ(queue->wait().system_errno, 0);
  EXPECT_EQ(queue->in_flight(), 0u);
}

// Neighbouring requests of every alignment, many in flight: on a block device nothing else keeps direct and buffered
// writes into one page apart.
void write_neighbours(IoQueue& queue, std::vector<std::uint8_t>& model, unsigned seed) {
  std::mt19937 random(seed);
  constexpr std::size_t kRequestMax = 32768;
  BufferPool pool(queue.depth(), kRequestMax + 4096);
  std::map<std::uint64_t, Buffer> out;
  const auto reap = [&] {
    const auto completion = queue.wait();
    EXPECT_EQ(completion.system_errno, 0);
    out.erase(completion.tag);
  };
  for (std::size_t offset = 0; offset < model.size();) {
    if (queue.in_flight() == queue.depth()) reap();
    constexpr std::array<std::size_t, 6> kLengths{512, 512, 4096, 5120, 16384, 700};
    const std::size_t length = std::min(kLengths[random() % kLengths.size()], model.size() - offset);
    Buffer buffer = pool.take();
    const auto bytes = buffer.first(offset % 4096 + length).subspan(offset % 4096);
    const auto fresh = pattern(length, static_cast<unsigned>(random()));
    std::copy(fresh.begin(), fresh.end(), bytes.begin());
    std::copy(fresh.begin(), fresh.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
    queue.submit(write_request(bytes, offset, offset));
    out.emplace(offset, std::move(buffer));
    offset += length;
  }
  while (queue.in_flight() > 0) reap();
  ASSERT_EQ(complete(queue, flush_request()), 0);
}

TEST_P(Queue, DirectAndBufferedWritesSideBySideLoseNothing) {
  Loop loop(make_file(folder_ / "disk", 2 * kMiB + kSector));
  NEED_LOOP(loop);
  for (const IoMode io : {IoMode::kAuto, IoMode::kDirect, IoMode::kBuffered}) {
    const auto device = open_device(loop.path, io);
    const auto queue = make_queue(*device, 16);
    std::vector<std::uint8_t> model(device->size_bytes());
    for (unsigned round = 0; round < 5; ++round) {
      write_neighbours(*queue, model, round);
      ASSERT_EQ(content_of(loop.path, model.size()), model) << "round " << round;
    }
  }
  EXPECT_EQ(fsync(loop.fd()), 0);
}

TEST_P(Queue, ReadsAtAnyOffsetAndAlignmentAreWhole) {
  constexpr std::size_t kSize = 500001;
  const auto path = make_file(folder_ / "disk", kSize);
  const auto model = pattern(kSize, 12);
  put(path, 0, model);
  for (const IoMode io : {IoMode::kAuto, IoMode::kDirect, IoMode::kBuffered}) {
    const auto device = open_device(path, io);
    const auto queue = make_queue(*device, 4);
    BufferPool pool(1, 131072);
    const Buffer buffer = pool.take();
    std::mt19937 random(13);
    for (int round = 0; round < 200; ++round) {
      if (round % 50 == 0) {  // parts of it cached, parts not
        ASSERT_EQ(fsync(device->buffered_fd()), 0);
        posix_fadvise(device->buffered_fd(), 0, 0, POSIX_FADV_DONTNEED);
      }
      const std::size_t offset = random() % kSize / (round % 2 == 0 ? 4096 : 1) * (round % 2 == 0 ? 4096 : 1);
      const std::size_t length = std::min<std::size_t>(random() % 100000, kSize - offset);
      const std::size_t shift = round % 3 == 0 ? random() % 4096 : offset % 4096;
      const auto bytes = buffer.first(shift + length).subspan(shift);
      ASSERT_EQ(complete(*queue, read_request(bytes, offset)), 0);
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), model.begin() + static_cast<std::ptrdiff_t>(offset)));
    }
  }
}

TEST_P(Queue, ReadPastTheEndCompletesWithEnodata) {
  for (const IoMode io : {IoMode::kAuto, IoMode::kDirect, IoMode::kBuffered}) {
    const auto device = open_device(make_file(folder_ / "disk", 10000), io);
    const auto queue = make_queue(*device, 4);
    BufferPool pool(1, 65536);
    const Buffer buffer = pool.take();
    EXPECT_EQ(complete(*queue, read_request(buffer.first(1808), 8192)), 0);
    EXPECT_EQ(complete(*queue, read_request(buffer.first(8192), 8192)), ENODATA);
    EXPECT_EQ(complete(*queue, read_request(buffer.first(4096), 16384)), ENODATA);
  }
}

TEST_P(Queue, WritePastTheEndCompletesWithEnospcAndChangesNothing) {
  const auto path = make_file(folder_ / "disk", 10000);
  const auto device = open_device(path);
  const auto queue = make_queue(*device, 4);
  BufferPool pool(1, 65536);
  const Buffer buffer = pool.take();
  EXPECT_EQ(complete(*queue, write_request(buffer.first(8192), 4096)), ENOSPC);
  EXPECT_EQ(std::filesystem::file_size(path), 10000u);
}

TEST_P(Queue, ReadErrorOfTheDiskComesWithItsRequestOnly) {
  const auto path = make_file(folder_ / "disk", 8 * kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  const auto device = open_device(loop.path);
  const auto queue = make_queue(*device, 4);
  std::filesystem::resize_file(path, kMiB);
  BufferPool pool(2, 65536);
  const Buffer good = pool.take();
  const Buffer bad = pool.take();
  queue->submit(read_request(bad.first(65536), 4 * kMiB, 1));
  queue->submit(read_request(good.first(65536), 0, 2));
  std::map<std::uint64_t, int> outcomes;
  while (queue->in_flight() > 0) {
    const auto completion = queue->wait();
    outcomes[completion.tag] = completion.system_errno;
  }
  EXPECT_EQ(outcomes, (std::map<std::uint64_t, int>{{1, EIO}, {2, 0}}));
  EXPECT_EQ(complete(*queue, flush_request()), 0) << "a failed read does not fail the device";
}

TEST_P(Queue, AutoReadTakesWhatThePageCacheHolds) {
  const auto path = make_file(folder_ / "disk", 8 * kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  const auto model = pattern(65536, 14);
  put(path, 4 * kMiB, model);
  const auto device = open_device(loop.path);
  if (!cache_state(device->buffered_fd())) GTEST_SKIP() << "the kernel does not tell what is cached";
  std::vector<std::uint8_t> primed(65536);
  ASSERT_EQ(pread(device->buffered_fd(), primed.data(), primed.size(), 4 * kMiB), 65536);
  std::filesystem::resize_file(path, kMiB);  // the disk itself fails from now on
  BufferPool pool(1, 65536);
  const Buffer buffer = pool.take();
  const auto queue = make_queue(*device, 4);
  EXPECT_EQ(complete(*queue, read_request(buffer.first(65536), 4 * kMiB)), 0);
  EXPECT_TRUE(std::equal(model.begin(), model.end(), buffer.data()));
  const auto direct = open_device(loop.path, IoMode::kDirect);
  const auto direct_queue = make_queue(*direct, 4);
  EXPECT_EQ(complete(*direct_queue, read_request(buffer.first(65536), 4 * kMiB)), EIO);
}

TEST_P(Queue, ShortWriteIsContinuedAndItsErrorReported) {
  const auto path = make_file(folder_ / "disk", kMiB);
  const auto device = open_device(path, IoMode::kBuffered);
  const auto queue = make_queue(*device, 4);
  BufferPool pool(1, kMiB);
  const Buffer buffer = pool.take();
  std::memset(buffer.data(), 0xa5, kMiB);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit half{kMiB / 2, before.rlim_max};
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &half);  // the first call writes half, the second fails
  const int outcome = complete(*queue, write_request(buffer.first(kMiB), 0));
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_EQ(outcome, EFBIG);
  const auto found = content_of(path, kMiB);
  EXPECT_EQ(std::count(found.begin(), found.end(), 0xa5), static_cast<std::ptrdiff_t>(kMiB / 2));
}

TEST_P(Queue, FlushLeavesNothingDirtyInThePageCache) {
  const auto device = open_device(make_file(folder_ / "disk", kMiB), IoMode::kBuffered);
  const auto queue = make_queue(*device, 4);
  BufferPool pool(1, kMiB);
  const Buffer buffer = pool.take();
  ASSERT_EQ(complete(*queue, write_request(buffer.first(kMiB), 0)), 0);
  const auto before = cache_state(device->buffered_fd());
  if (!before || before->dirty == 0) GTEST_SKIP() << "the kernel does not tell what is dirty";
  ASSERT_EQ(complete(*queue, flush_request()), 0);
  const auto after = cache_state(device->buffered_fd());
  EXPECT_EQ(after->dirty + after->writeback, 0u);
}

TEST_P(Queue, FlushFailureFailsTheDeviceAndEveryFlushInFlight) {
  FullDisk disk;
  NEED_FULL_DISK(disk);
  const auto device = open_device(disk.loop.path, IoMode::kBuffered);
  const auto queue = make_queue(*device, 8);
  BufferPool pool(1, 8 * kMiB);
  const Buffer buffer = pool.take();
  std::memset(buffer.data(), 1, 8 * kMiB);
  ASSERT_EQ(complete(*queue, write_request(buffer.first(8 * kMiB), 0)), 0);
  for (std::uint64_t tag = 0; tag < 8; ++tag) queue->submit(flush_request(tag));
  while (queue->in_flight() > 0) EXPECT_EQ(queue->wait().system_errno, EIO);
  EXPECT_EQ(complete(*queue, write_request(buffer.first(512), 0)), EIO);
  EXPECT_EQ(complete(*queue, flush_request()), EIO);
  EXPECT_FALSE(device->check_usable());
  EXPECT_EQ(complete(*queue, read_request(buffer.first(512), 0)), 0);
}

TEST_P(Queue, FailedDeviceRefusesWritesAndFlushesButReads) {
  const auto path = make_file(folder_ / "disk", kMiB);
  const auto device = open_device(path);
  const auto queue = make_queue(*device, 4);
  BufferPool pool(1, 4096);
  const Buffer buffer = pool.take();
  std::memset(buffer.data(), 1, 4096);
  device->fail_flush(EDQUOT);
  EXPECT_EQ(complete(*queue, write_request(buffer.first(4096), 0)), EDQUOT);
  EXPECT_EQ(complete(*queue, flush_request()), EDQUOT);
  EXPECT_EQ(complete(*queue, read_request(buffer.first(4096), 0)), 0);
  EXPECT_THAT(content_of(path, kMiB), Each(0));
}

TEST_P(Queue, DestructorWaitsForWhatIsInFlight) {
  const auto path = make_file(folder_ / "disk", 4 * kMiB);
  const auto device = open_device(path);
  const auto model = pattern(4 * kMiB, 16);
  {
    BufferPool pool(1, 4 * kMiB);
    const Buffer buffer = pool.take();
    std::copy(model.begin(), model.end(), buffer.data());
    const auto queue = make_queue(*device, 64);
    for (std::size_t i = 0; i < 64; ++i) {
      queue->submit(write_request(buffer.first(4 * kMiB).subspan(i * 65536, 65536), i * 65536));
    }
  }
  EXPECT_EQ(content_of(path, 4 * kMiB), model);
}

using QueueDeathTest = Queue;
INSTANTIATE_TEST_SUITE_P(Engines, QueueDeathTest, testing::Values(IoEngine::kUring, IoEngine::kThreads));

TEST_P(QueueDeathTest, SubmittingBeyondTheDepthIsAProgrammerError) {
  const auto submit_two = [this] {
    const auto device = open_device(make_file(folder_ / "disk", kMiB));
    const auto queue = make_queue(*device, 1);
    std::vector<std::uint8_t> bytes(kSector);
    queue->submit(read_request(bytes, 0));
    queue->submit(read_request(bytes, 0));
  };
  EXPECT_DEATH(submit_two(), "in_flight_ < depth");
}

// Forbids io_uring to the calling thread for good, as a container's seccomp profile does.
bool forbid_io_uring() {
  std::array<sock_filter, 4> filter{
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, __NR_io_uring_setup},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog program{filter.size(), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(QueueEngine, AutoFallsBackToThreadsAndUringIsAnErrorWhereIoUringIsForbidden) {
  TemporaryFolder folder;
  const auto device = open_device(make_file(folder / "disk", kMiB));
  bool forbidden = false;
  std::thread confined([&] {
    forbidden = forbid_io_uring();
    if (!forbidden) return;
    const auto uring = make_io_queue(*device, 4, IoEngine::kUring);
    ASSERT_FALSE(uring);
    EXPECT_THAT(uring.error().message(), AllOf(HasSubstr("io_uring is not to be had"), HasSubstr("seccomp")));
    const auto fallback = make_io_queue(*device, 4, IoEngine::kAuto);
    ASSERT_TRUE(fallback) << fallback.error().message();
    EXPECT_EQ((*fallback)->engine_name(), "threads");
  });
  confined.join();
  if (!forbidden) GTEST_SKIP() << "no seccomp filters here";
}

// A write-back error is told once to each open file description. Here somebody else's flush took the one of the device
// and has not yet said so.
TEST(QueueEngine, UringFlushHearsOfAnErrorThatAnotherFlushHeardOfFirst) {
  FullDisk disk;
  NEED_FULL_DISK(disk);
  const auto device = open_device(disk.loop.path, IoMode::kBuffered);
  const auto queue = make_io_queue(*device, 8, IoEngine::kUring);
  if (!queue) GTEST_SKIP() << queue.error().message();
  ASSERT_TRUE(device->write(pattern(8 * kMiB, 15), 0));
  ASSERT_NE(fdatasync(device->buffered_fd()), 0);
  ASSERT_EQ(fdatasync(device->buffered_fd()), 0) << "the kernel does not forget: the test proves nothing";
  EXPECT_EQ(complete(**queue, flush_request()), EIO);
  EXPECT_FALSE(device->flush());
}

TEST(QueueEngine, EnvironmentForcesThreads) {
  TemporaryFolder folder;
  const auto device = open_device(make_file(folder / "disk", kMiB));
  setenv("DRSEED_IO_ENGINE", "threads", 1);
  const auto queue = make_io_queue(*device, 4);
  unsetenv("DRSEED_IO_ENGINE");
  ASSERT_TRUE(queue);
  EXPECT_EQ((*queue)->engine_name(), "threads");
}

}  // namespace
}  // namespace drseed::block
