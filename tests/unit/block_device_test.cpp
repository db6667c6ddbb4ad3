// block/device against the kernel: opening, and reading and writing in every mode.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "block/buffer_pool.h"
#include "block/device.h"
#include "block_test_support.h"

namespace drseed::block {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

// ---- Opening ----

TEST(DeviceOpen, RegularFileHasItsSizeAndTheSectorsOfAFile) {
  TemporaryFolder folder;
  const auto device = open_device(make_file(folder / "disk", 10000));
  EXPECT_EQ(device->kind(), Kind::kRegularFile);
  EXPECT_EQ(device->size_bytes(), 10000u);
  EXPECT_EQ(device->logical_sector_bytes(), 512u);
  EXPECT_EQ(device->physical_sector_bytes(), 4096u);
  EXPECT_EQ(device->alignment_bytes() % 4096, 0u);
}

TEST(DeviceOpen, BlockDeviceHasItsSizeAndSectors) {
  TemporaryFolder folder;
  Loop loop(make_file(folder / "disk", 3 * kMiB + kSector));
  NEED_LOOP(loop);
  const auto device = open_device(loop.path);
  EXPECT_EQ(device->kind(), Kind::kBlockDevice);
  EXPECT_EQ(device->size_bytes(), 3 * kMiB + kSector);
  EXPECT_EQ(device->logical_sector_bytes(), 512u);
}

TEST(DeviceOpen, MissingFileIsAnErrorThatNamesIt) {
  const auto device = Device::open("/nowhere/disk", {});
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, ErrorCode::kEnvironment);
  EXPECT_EQ(device.error().system_errno, ENOENT);
  EXPECT_THAT(device.error().message(), HasSubstr("/nowhere/disk"));
}

TEST(DeviceOpen, AnythingButABlockDeviceOrRegularFileIsAUsageError) {
  TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const auto& path : {pipe, std::string("/dev/null"), std::string("/")}) {
    const auto device = Device::open(path, {});
    ASSERT_FALSE(device) << path;
    EXPECT_EQ(device.error().code, ErrorCode::kUsage) << path;
  }
}

TEST(DeviceOpen, CreateMakesAnEmptyPrivateFile) {
  TemporaryFolder folder;
  OpenOptions options;
  options.access = Access::kReadWrite;
  options.create = true;
  const auto device = Device::open(folder / "new", options);
  ASSERT_TRUE(device) << device.error().message();
  EXPECT_EQ((*device)->size_bytes(), 0u);
  struct stat state {};
  ASSERT_EQ(stat((folder / "new").c_str(), &state), 0);
  EXPECT_EQ(state.st_mode & 0777u, 0600u);
}

TEST(DeviceOpen, CreateRefusesAMistypedDeviceName) {
  OpenOptions options;
  options.access = Access::kReadWrite;
  options.create = true;
  const std::string path = "/dev/drseed-no-such-disk";
  const auto device = Device::open(path, options);
  EXPECT_FALSE(std::filesystem::remove(path)) << "it was created";
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, ErrorCode::kEnvironment);
}

TEST(DeviceOpen, AutoDoesWithoutDirectIoWhereItIsRefused) {
  const auto device = open_device("/proc/version", IoMode::kAuto, Access::kRead);
  ASSERT_TRUE(device);
  EXPECT_FALSE(device->direct());
}

TEST(DeviceOpen, DirectIsAnErrorWhereDirectIoIsRefused) {
  OpenOptions options;
  options.io = IoMode::kDirect;
  const auto device = Device::open("/proc/version", options);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, ErrorCode::kEnvironment);
  EXPECT_THAT(device.error().message(), HasSubstr("O_DIRECT"));
}

TEST(DeviceOpen, BufferedOpensNoDirectDescriptor) {
  TemporaryFolder folder;
  EXPECT_FALSE(open_device(make_file(folder / "disk", 8192), IoMode::kBuffered)->direct());
}

TEST(DeviceOpen, ExclusiveIsRefusedWhileTheDeviceIsHeld) {
  TemporaryFolder folder;
  Loop loop(make_file(folder / "disk", kMiB));
  NEED_LOOP(loop);
  OpenOptions options;
  options.exclusive = true;
  const auto first = Device::open(loop.path, options);
  ASSERT_TRUE(first) << first.error().message();
  const auto second = Device::open(loop.path, options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kRefused);
  EXPECT_THAT(second.error().message(), HasSubstr("mounted or held"));
}

TEST(DeviceOpen, FdForIsDirectOnlyWhereEverythingIsAligned) {
  TemporaryFolder folder;
  const auto device = open_device(make_file(folder / "disk", kMiB));
  if (!device->direct()) GTEST_SKIP() << "no O_DIRECT in the temporary folder";
  BufferPool pool(1, 65536);
  const Buffer buffer = pool.take();
  EXPECT_EQ(device->fd_for(buffer.data(), 4096, 4096), device->direct_fd());
  EXPECT_EQ(device->fd_for(buffer.data() + 512, 4096, 4096), device->buffered_fd());
  EXPECT_EQ(device->fd_for(buffer.data(), 512, 4096), device->buffered_fd());
  EXPECT_EQ(device->fd_for(buffer.data(), 4096, 512), device->buffered_fd());
}

// ---- Reading and writing, in every mode ----

class DeviceIo : public testing::TestWithParam<IoMode> {
 protected:
  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Modes, DeviceIo, testing::Values(IoMode::kAuto, IoMode::kDirect, IoMode::kBuffered),
                         [](const auto& engine_or_mode) {
                           return engine_or_mode.param == IoMode::kAuto     ? "Auto"
                                  : engine_or_mode.param == IoMode::kDirect ? "Direct"
                                                                            : "Buffered";
                         });

TEST_P(DeviceIo, ReadsBackWhatWasWrittenAtAnyOffsetAndLength) {
  constexpr std::size_t kSize = 300000;  // not a multiple of anything
  const auto path = make_file(folder_ / "disk", kSize);
  const auto device = open_device(path, GetParam());
  ASSERT_TRUE(device);
  std::vector<std::uint8_t> model(kSize);
  BufferPool pool(1, kSize);
  const Buffer buffer = pool.take();
  std::mt19937 random(2);
  for (unsigned round = 0; round < 600; ++round) {
    std::size_t offset = random() % kSize;
    std::size_t length = random() % 40000;
    if (round % 2 == 0) offset = offset / 4096 * 4096;
    if (round % 3 == 0) length = length / 4096 * 4096;
    length = std::min(length, kSize - offset);
    const auto bytes = buffer.first(offset % 4096 + length).subspan(offset % 4096);
    if (round % 2 == 0) {
      const auto fresh = pattern(length, round);
      std::copy(fresh.begin(), fresh.end(), bytes.begin());
      std::copy(fresh.begin(), fresh.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
      const auto written = device->write(bytes, offset);
      ASSERT_TRUE(written) << written.error().message();
    } else {
      const auto got = device->read(bytes, offset);
      ASSERT_TRUE(got) << got.error().message();
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), model.begin() + static_cast<std::ptrdiff_t>(offset))) << round;
    }
  }
  ASSERT_TRUE(device->flush());
  EXPECT_EQ(content_of(path, kSize), model);
  EXPECT_EQ(content_of(path, kSize, O_DIRECT), model);
}

TEST_P(DeviceIo, ReadPastTheEndNamesTheOffset) {
  const auto device = open_device(make_file(folder_ / "disk", 10000), GetParam());
  ASSERT_TRUE(device);
  std::vector<std::uint8_t> bytes(8192);
  EXPECT_TRUE(device->read({bytes.data(), 1808}, 8192));
  const auto got = device->read(bytes, 4096);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kEnvironment);
  EXPECT_EQ(got.error().system_errno, ENODATA);
  EXPECT_THAT(got.error().message(), AllOf(HasSubstr("disk: ends at offset 10000"), HasSubstr("expected 8192 bytes"),
                                           HasSubstr("found 5904")));
}

TEST_P(DeviceIo, WritePastTheEndIsRefusedAndChangesNothing) {
  const auto path = make_file(folder_ / "disk", 10000);
  const auto device = open_device(path, GetParam());
  ASSERT_TRUE(device);
  const auto written = device->write(pattern(8192, 1), 4096);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().system_errno, ENOSPC);
  EXPECT_FALSE(device->write(pattern(1, 1), UINT64_MAX));
  EXPECT_EQ(std::filesystem::file_size(path), 10000u);
  EXPECT_THAT(content_of(path, 10000), Each(0));
}

TEST_P(DeviceIo, ZeroMakesExactlyTheRangeZero) {
  const auto path = make_file(folder_ / "disk", kMiB);
  auto model = pattern(kMiB, 3);
  put(path, 0, model);
  const auto device = open_device(path, GetParam());
  ASSERT_TRUE(device);
  for (const Extent range : {Extent{5000, 100}, Extent{8192, 65536}, Extent{100001, 300001}, Extent{kMiB - 1, 1}}) {
    std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(range.offset_bytes), range.length_bytes, 0);
    const auto zeroed = device->zero(range);
    ASSERT_TRUE(zeroed) << zeroed.error().message();
  }
  EXPECT_EQ(content_of(path, kMiB), model);
}

TEST_P(DeviceIo, ZeroOfABlockDeviceMakesExactlyTheRangeZero) {
  Loop loop(make_file(folder_ / "disk", kMiB + kSector));
  NEED_LOOP(loop);
  auto model = pattern(kMiB + kSector, 3);
  put(loop.path, 0, model);
  const auto device = open_device(loop.path, GetParam());
  ASSERT_TRUE(device);
  for (const Extent range :
       {Extent{5000, 100}, Extent{8192, 65536}, Extent{100001, 300001}, Extent{kMiB - 5, 5 + 512}}) {
    std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(range.offset_bytes), range.length_bytes, 0);
    const auto zeroed = device->zero(range);
    ASSERT_TRUE(zeroed) << zeroed.error().message();
  }
  EXPECT_EQ(content_of(loop.path, model.size()), model);
}

TEST_P(DeviceIo, DiscardLeavesTheRestAlone) {
  const auto path = make_file(folder_ / "disk", kMiB);
  const auto model = pattern(kMiB, 4);
  put(path, 0, model);
  const auto device = open_device(path, GetParam());
  ASSERT_TRUE(device);
  ASSERT_TRUE(device->discard({100001, 300001}));
  const auto found = content_of(path, kMiB);
  EXPECT_TRUE(std::equal(found.begin(), found.begin() + 100001, model.begin()));
  EXPECT_TRUE(std::equal(found.begin() + 400002, found.end(), model.begin() + 400002));
}

TEST(Device, ZeroOfAFileMakesAHoleAndKeepsTheSize) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", kMiB);
  put(path, 0, pattern(kMiB, 5));
  const auto device = open_device(path);
  ASSERT_TRUE(device->zero({0, kMiB}));
  EXPECT_EQ(std::filesystem::file_size(path), kMiB);
  EXPECT_EQ(device->next_data(0), std::nullopt);
  struct stat state {};
  ASSERT_EQ(stat(path.c_str(), &state), 0);
  EXPECT_EQ(state.st_blocks, 0);
}

TEST(Device, ZeroWritesZerosWhereTheFileSystemKnowsNoHoles) {
  TemporaryFolder folder;
  const Mounted ramfs("none", folder / "ramfs", "ramfs");
  NEED_MOUNT(ramfs);
  const auto path = make_file(folder / "ramfs/disk", kMiB);
  auto model = pattern(kMiB, 6);
  put(path, 0, model);
  std::fill_n(model.begin() + 1000, 700000, 0);
  const auto device = open_device(path);
  const auto zeroed = device->zero({1000, 700000});
  ASSERT_TRUE(zeroed) << zeroed.error().message();
  EXPECT_EQ(content_of(path, kMiB), model);
  EXPECT_TRUE(device->discard({0, kMiB}));
}

TEST(Device, NextDataSkipsHoles) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 8 * kMiB);
  put(path, 2 * kMiB, pattern(65536, 7));
  put(path, 4 * kMiB, pattern(65536, 7));
  const auto device = open_device(path, IoMode::kAuto, Access::kRead);
  EXPECT_EQ(device->next_data(0), (Extent{2 * kMiB, 65536}));
  EXPECT_EQ(device->next_data(2 * kMiB + 4096), (Extent{2 * kMiB + 4096, 65536 - 4096}));
  EXPECT_EQ(device->next_data(2 * kMiB + 65536), (Extent{4 * kMiB, 65536}));
  EXPECT_EQ(device->next_data(5 * kMiB), std::nullopt);
  EXPECT_EQ(device->next_data(8 * kMiB), std::nullopt);
  put(path, 9 * kMiB, pattern(4096, 7));  // somebody else makes it longer
  EXPECT_EQ(device->next_data(5 * kMiB), std::nullopt);
}

TEST(Device, NextDataOfABlockDeviceIsAllOfIt) {
  TemporaryFolder folder;
  Loop loop(make_file(folder / "disk", kMiB));
  NEED_LOOP(loop);
  const auto device = open_device(loop.path);
  EXPECT_EQ(device->next_data(4096), (Extent{4096, kMiB - 4096}));
  EXPECT_EQ(device->next_data(kMiB), std::nullopt);
}

TEST(Device, GrowAddsAHoleAndNeverShrinks) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 4096);
  const auto device = open_device(path);
  ASSERT_TRUE(device->grow(kMiB));
  EXPECT_EQ(device->size_bytes(), kMiB);
  EXPECT_EQ(std::filesystem::file_size(path), kMiB);
  EXPECT_TRUE(device->write(pattern(4096, 8), kMiB - 4096));
  const auto shrunk = device->grow(4096);
  ASSERT_FALSE(shrunk);
  EXPECT_EQ(shrunk.error().code, ErrorCode::kUsage);
  EXPECT_EQ(device->size_bytes(), kMiB);
}

TEST(Device, GrowOfABlockDeviceIsAUsageError) {
  TemporaryFolder folder;
  Loop loop(make_file(folder / "disk", kMiB));
  NEED_LOOP(loop);
  const auto grown = open_device(loop.path)->grow(2 * kMiB);
  ASSERT_FALSE(grown);
  EXPECT_EQ(grown.error().code, ErrorCode::kUsage);
}

TEST(Device, FlushLeavesNothingDirtyInThePageCache) {
  TemporaryFolder folder;
  const auto device = open_device(make_file(folder / "disk", kMiB), IoMode::kBuffered);
  ASSERT_TRUE(device->write(pattern(kMiB, 9), 0));
  const auto before = cache_state(device->buffered_fd());
  if (!before || before->dirty == 0) GTEST_SKIP() << "the kernel does not tell what is dirty";
  ASSERT_TRUE(device->flush());
  const auto after = cache_state(device->buffered_fd());
  EXPECT_EQ(after->dirty + after->writeback, 0u);
}

TEST(Device, FlushFailureFailsTheDevice) {
  FullDisk disk;
  NEED_FULL_DISK(disk);
  const auto device = open_device(disk.loop.path, IoMode::kBuffered);
  ASSERT_TRUE(device);
  ASSERT_TRUE(device->write(pattern(8 * kMiB, 10), 0));
  const auto flushed = device->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().system_errno, EIO);
  EXPECT_THAT(flushed.error().message(), HasSubstr(disk.loop.path));
  for (const auto& later : {device->flush(), device->write(pattern(512, 1), 0), device->zero({0, 4096}),
                            device->discard({0, 4096}), device->check_usable()}) {
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error().system_errno, EIO);
  }
  std::array<std::uint8_t, 512> bytes{};
  EXPECT_TRUE(device->read(bytes, 0));
}

TEST(Device, ReadErrorOfTheDiskNamesPathAndOffset) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 8 * kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  const auto device = open_device(loop.path, IoMode::kDirect);
  std::filesystem::resize_file(path, kMiB);  // what lies behind is an I/O error from now on
  BufferPool pool(1, 65536);
  const Buffer buffer = pool.take();
  EXPECT_TRUE(device->read(buffer.first(65536), 0));
  const auto got = device->read(buffer.first(65536), 4 * kMiB);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kEnvironment);
  EXPECT_EQ(got.error().system_errno, EIO);
  EXPECT_THAT(got.error().message(), AllOf(HasSubstr(loop.path), HasSubstr("offset 4194304")));
  EXPECT_TRUE(device->check_usable()) << "a failed read does not fail the device";
}

TEST(Device, AutoReadLeavesThePageCacheAsItIs) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 4 * kMiB);
  put(path, 0, pattern(4 * kMiB, 11));
  const auto device = open_device(path, IoMode::kAuto, Access::kRead);
  if (!device->direct()) GTEST_SKIP() << "no O_DIRECT in the temporary folder";
  ASSERT_EQ(fsync(device->buffered_fd()), 0);
  posix_fadvise(device->buffered_fd(), 0, 0, POSIX_FADV_DONTNEED);
  const auto before = cache_state(device->buffered_fd());
  if (!before || before->cached != 0) GTEST_SKIP() << "the kernel does not tell what is cached, or keeps it";
  BufferPool pool(1, kMiB);
  const Buffer buffer = pool.take();
  for (std::uint64_t offset = 0; offset < 4 * kMiB; offset += 65536) {
    ASSERT_TRUE(device->read(buffer.first(65536), offset));
  }
  EXPECT_EQ(cache_state(device->buffered_fd())->cached, 0u);
}

}  // namespace
}  // namespace drseed::block
