// block/ against the kernel: files in a temporary folder, loop devices over them where root may have them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/blkpg.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "block/buffer_pool.h"
#include "block/device.h"
#include "block/identity.h"
#include "block/in_use.h"
#include "block/io_queue.h"
#include "block/transfer.h"

namespace drseed::block {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::size_t kSector = 512;

// ---- helpers ----

class TemporaryFolder {
 public:
  TemporaryFolder() {
    auto pattern = (std::filesystem::temp_directory_path() / "drseed-block-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A loop device over a file or device, detached at the end. `path` is empty, `problem` says why, where there is none.
class Loop {
 public:
  enum Flags : unsigned { kPlain = 0, kReadOnly = LO_FLAGS_READ_ONLY, kPartitions = LO_FLAGS_PARTSCAN };

  explicit Loop(const std::string& backing, unsigned flags = kPlain) {
    const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    const UniqueFd file(::open(backing.c_str(), ((flags & kReadOnly) != 0 ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!control || !file) {
      problem = "no loop devices here (root needed)";
      return;
    }
    for (int attempt = 0; attempt < 1000; ++attempt) {  // another test may take the free one first
      const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
      const std::string candidate = "/dev/loop" + std::to_string(number);
      fd_ = UniqueFd(::open(candidate.c_str(), ((flags & kReadOnly) != 0 ? O_RDONLY : O_RDWR) | O_CLOEXEC));
      loop_config config{};
      config.fd = static_cast<unsigned>(file.get());
      config.info.lo_flags = flags;
      if (number >= 0 && fd_ && ioctl(fd_.get(), LOOP_CONFIGURE, &config) == 0) {
        path = candidate;
        return;
      }
      if (errno != EBUSY) break;
    }
    problem = std::string("a loop device cannot be attached: ") + std::strerror(errno);
  }
  ~Loop() {
    if (!path.empty()) ioctl(fd_.get(), LOOP_CLR_FD);
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  int fd() const { return fd_.get(); }
  // Partition `number`, of 4 MiB, as the kernel makes it from a partition table; its path, or "".
  std::string add_partition(int number) {
    blkpg_partition partition{};
    partition.start = static_cast<long long>(kMiB) + (number - 1) * static_cast<long long>(4 * kMiB);
    partition.length = 4 * kMiB;
    partition.pno = number;
    blkpg_ioctl_arg argument{BLKPG_ADD_PARTITION, 0, sizeof partition, &partition};
    return ioctl(fd(), BLKPG, &argument) == 0 ? path + "p" + std::to_string(number) : "";
  }
  std::string name() const { return path.substr(5); }

  std::string path, problem;

 private:
  UniqueFd fd_;
};

#define NEED_LOOP(loop) \
  if ((loop).path.empty()) GTEST_SKIP() << (loop).problem

class Mounted {
 public:
  Mounted(const std::string& source, const std::string& where, const char* type, unsigned long flags = 0,
          const char* options = "")
      : where_(where) {
    std::filesystem::create_directories(where);
    done_ = mount(source.c_str(), where.c_str(), type, flags, options) == 0;
    if (!done_) problem = std::string("cannot mount ") + type + ": " + std::strerror(errno);
  }
  ~Mounted() {
    if (done_) umount2(where_.c_str(), 0);
  }
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  explicit operator bool() const { return done_; }
  std::string problem;

 private:
  std::string where_;
  bool done_ = false;
};

#define NEED_MOUNT(mounted) \
  if (!(mounted)) GTEST_SKIP() << (mounted).problem

std::vector<std::uint8_t> pattern(std::size_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> bytes(length);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

std::string make_file(const std::string& path, std::uint64_t size_bytes) {
  std::ofstream(path).close();
  std::filesystem::resize_file(path, size_bytes);
  return path;
}

void put(const std::string& path, std::uint64_t offset_bytes, const std::vector<std::uint8_t>& bytes) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset_bytes)),
            static_cast<ssize_t>(bytes.size()));
}

// What a reader through the page cache and one past it see.
std::vector<std::uint8_t> content_of(const std::string& path, std::size_t length, int flags = 0) {
  void* aligned = nullptr;
  EXPECT_EQ(posix_memalign(&aligned, 4096, length + 4096), 0);
  const std::unique_ptr<std::uint8_t, decltype(&std::free)> data(static_cast<std::uint8_t*>(aligned), &std::free);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
  const std::size_t request = (length + 4095) / 4096 * 4096;
  EXPECT_EQ(pread(fd.get(), data.get(), request, 0), static_cast<ssize_t>(length));
  return {data.get(), data.get() + length};
}

struct CacheState {
  std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
};
std::optional<CacheState> cache_state(int fd) {
  const std::uint64_t whole[2] = {0, 0};
  CacheState state{};
  constexpr long kCachestatCall = 451;
  if (syscall(kCachestatCall, fd, whole, &state, 0) != 0) return std::nullopt;
  return state;
}

std::unique_ptr<Device> open_device(const std::string& path, IoMode io = IoMode::kAuto,
                                    Access access = Access::kReadWrite) {
  OpenOptions options;
  options.access = access;
  options.io = io;
  auto device = Device::open(path, options);
  EXPECT_TRUE(device) << device.error().message();
  return device ? std::move(*device) : nullptr;
}

bool run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

// An MBR with one partition, from 1 MiB on.
void put_partition_table(const std::string& path) {
  std::vector<std::uint8_t> sector(kSector);
  constexpr std::array<std::uint8_t, 16> kEntry{0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 32, 0, 0};
  std::copy(kEntry.begin(), kEntry.end(), sector.begin() + 446);
  sector[510] = 0x55;
  sector[511] = 0xaa;
  put(path, 0, sector);
}

// A block device whose writes through the page cache succeed and whose flush then fails with EIO, as a disk's would:
// a loop device over a sparse file on a full tmpfs.
struct FullDisk {
  FullDisk() : full("none", folder / "full", "tmpfs", 0, "size=1m"), loop(make_file(folder / "full/disk", 64 * kMiB)) {}
  TemporaryFolder folder;
  Mounted full;
  Loop loop;
};

#define NEED_FULL_DISK(disk) \
  NEED_MOUNT((disk).full);   \
  NEED_LOOP((disk).loop)

// ---- Buffer pool ----

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

// ---- Device: open ----

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
  EXPECT_EQ(device.error().code, ErrorCode::kUsage);
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

// ---- Pieces of a transfer ----

TEST(Pieces, CoverATransferWithoutAGapAndAreAlignedWhereTheyAreDirect) {
  TemporaryFolder folder;
  const auto device = open_device(make_file(folder / "disk", kMiB));
  if (!device->direct()) GTEST_SKIP() << "no O_DIRECT in the temporary folder";
  BufferPool pool(1, 256 * 1024);
  const Buffer buffer = pool.take();
  std::mt19937 random(1);
  int direct_pieces = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::uint64_t offset = random() % 65536 / (1u << random() % 16) * (1u << random() % 13);
    // In half of the rounds memory and offset can be aligned together.
    const std::size_t shift = round % 2 == 0 ? offset % 4096 : random() % 4096;
    const Transfer transfer{buffer.data() + shift, offset, 1 + random() % 60000};
    std::uint64_t done = 0;
    for (int pieces = 0; done < transfer.length_bytes; ++pieces) {
      ASSERT_LT(pieces, 100);
      const Piece piece = next_piece(*device, transfer, done);
      ASSERT_LE(piece.begin, done);
      ASSERT_GT(piece.begin + piece.length_bytes, done);
      ASSERT_LE(piece.begin + piece.length_bytes, transfer.length_bytes);
      if (piece.fd == device->direct_fd()) {
        ++direct_pieces;
        ASSERT_EQ((offset + piece.begin) % 4096, 0u);
        ASSERT_EQ(piece.length_bytes % 4096, 0u);
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(transfer.data + piece.begin) % 4096, 0u);
      }
      // Now and then the kernel moves less than it was asked for.
      const std::uint64_t end = piece.begin + piece.length_bytes;
      done = random() % 4 == 0 ? std::max(done + 1, piece.begin + random() % piece.length_bytes) : end;
    }
  }
  EXPECT_GT(direct_pieces, 1000);
}

// ---- Device: reading and writing, in every mode ----

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

// ---- IoQueue: both engines ----

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

// ---- Identity ----

constexpr const char* kUuid = "12345678-9abc-def0-1234-56789abcdef0";

std::string make_ext4(const std::string& path, const std::string& options = "") {
  return run("mke2fs -t ext4 -q -F " + options + " '" + path + "'") ? path : "";
}

TEST(Identify, FileSystemIsNamedWithLabelAndUuid) {
  TemporaryFolder folder;
  const auto path = make_ext4(make_file(folder / "disk", 8 * kMiB), std::string("-L data -U ") + kUuid);
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  const auto identity = identify(*open_device(path));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->filesystem_type, "ext4");
  EXPECT_EQ(identity->filesystem_label, "data");
  EXPECT_EQ(identity->filesystem_uuid, kUuid);
  EXPECT_TRUE(identity->has_known_content());
  EXPECT_EQ(identity->describe_content(), std::string("an ext4 file system 'data' (UUID ") + kUuid + ")");
}

TEST(Identify, PartitionTableIsKnownContent) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 16 * kMiB);
  put_partition_table(path);
  const auto identity = identify(*open_device(path));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->partition_table_type, "dos");
  EXPECT_EQ(identity->filesystem_type, "");
  EXPECT_EQ(identity->describe_content(), "a dos partition table");
}

TEST(Identify, EmptyDiskHasNoKnownContent) {
  TemporaryFolder folder;
  for (const std::uint64_t size : {std::uint64_t{0}, 8 * kMiB}) {
    const auto identity = identify(*open_device(make_file(folder / "disk", size)));
    ASSERT_TRUE(identity) << identity.error().message();
    EXPECT_FALSE(identity->has_known_content());
    EXPECT_EQ(identity->describe_content(), "");
  }
}

TEST(Identify, SeveralFileSystemsAtOnceAreKnownContent) {
  TemporaryFolder folder;
  const auto path = make_ext4(make_file(folder / "disk", 8 * kMiB));
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  put(path, 0, {'h', 's', 'q', 's'});  // squashfs, version 4
  put(path, 28, {4, 0});
  const auto identity = identify(*open_device(path));
  ASSERT_TRUE(identity);
  EXPECT_TRUE(identity->has_known_content());
  EXPECT_THAT(identity->filesystem_type, AnyOf("squashfs", "ext4", "ambivalent"));
  EXPECT_NE(identity->describe_content(), "");
}

TEST(Identify, LuksIsASignature) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 8 * kMiB);
  put(path, 0, {'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 1});
  const auto identity = identify(*open_device(path));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->filesystem_type, "crypto_LUKS");
  EXPECT_THAT(identity->describe_content(), HasSubstr("a crypto_LUKS signature"));
}

TEST(Identify, UnreadableDiskIsNoError) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 8 * kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  std::filesystem::resize_file(path, 0);
  const auto identity = identify(*open_device(loop.path));
  ASSERT_TRUE(identity) << identity.error().message();
  EXPECT_FALSE(identity->has_known_content());
}

TEST(Identify, PartitionOfABlockDeviceIsProbedByItself) {
  TemporaryFolder folder;
  Loop loop(make_file(folder / "disk", 16 * kMiB), Loop::kPartitions);
  NEED_LOOP(loop);
  const auto partition = loop.add_partition(1);
  if (partition.empty() || make_ext4(partition).empty()) GTEST_SKIP() << "no partition devices, or no mke2fs";
  const auto identity = identify(*open_device(partition));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->filesystem_type, "ext4");
  EXPECT_EQ(identity->partition_table_type, "");
}

// ---- In use ----

auto use_of(UseKind kind, bool writes, const std::string& what) {
  return AllOf(Field("kind", &Use::kind, kind), Field("writes", &Use::writes, writes), Field("what", &Use::what, what));
}

std::vector<Use> uses(const std::string& path) {
  auto found = users_of(path);
  EXPECT_TRUE(found) << found.error().message();
  return found.value_or(std::vector<Use>());
}

class InUse : public testing::Test {
 protected:
  // A file of 16 MiB with an ext4 file system, or "".
  std::string ext4_file() { return make_ext4(make_file(folder_ / "disk", 16 * kMiB)); }
  TemporaryFolder folder_;
};

TEST_F(InUse, NobodyUsesAFileOrAFreeLoopDevice) {
  const auto path = make_file(folder_ / "disk", kMiB);
  EXPECT_THAT(uses(path), IsEmpty());
  Loop loop(path);
  NEED_LOOP(loop);
  EXPECT_THAT(uses(loop.path), IsEmpty());
}

TEST_F(InUse, MissingPathIsAnErrorAndAPipeAUsageError) {
  EXPECT_EQ(users_of(folder_ / "nothing").error().system_errno, ENOENT);
  EXPECT_EQ(users_of("/dev/null").error().code, ErrorCode::kUsage);
}

TEST_F(InUse, MountedLoopDeviceIsInUse) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const auto where = folder_ / "mounted";
  {
    const Mounted mounted(loop.path, where, "ext4");
    NEED_MOUNT(mounted);
    EXPECT_THAT(uses(loop.path), ElementsAre(use_of(UseKind::kMounted, true, "mounted at " + where)));
  }
  EXPECT_THAT(uses(loop.path), IsEmpty());
}

TEST_F(InUse, MountPointWithSpacesIsShownAsItIs) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const auto where = folder_ / "a b\\c - d";
  const Mounted mounted(loop.path, where, "ext4");
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(loop.path), ElementsAre(use_of(UseKind::kMounted, true, "mounted at " + where)));
}

TEST_F(InUse, ReadOnlyMountDoesNotWrite) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const auto where = folder_ / "mounted";
  const Mounted mounted(loop.path, where, "ext4", MS_RDONLY);
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(loop.path), ElementsAre(use_of(UseKind::kMounted, false, "mounted at " + where)));
}

TEST_F(InUse, ReadOnlyBindOfAWritableMountWrites) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const Mounted mounted(loop.path, folder_ / "mounted", "ext4");
  NEED_MOUNT(mounted);
  ASSERT_EQ(mount("none", (folder_ / "mounted").c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
  EXPECT_THAT(uses(loop.path), ElementsAre(Field("writes", &Use::writes, true)));
}

TEST_F(InUse, FileBehindAMountedLoopDeviceIsInUse) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const auto where = folder_ / "mounted";
  const Mounted mounted(loop.path, where, "ext4");
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(path),
              ElementsAre(use_of(UseKind::kLoopBacking, true, "attached to " + loop.path),
                          use_of(UseKind::kMounted, true, "mounted at " + where + " (through " + loop.path + ")")));
}

TEST_F(InUse, ReadOnlyLoopDeviceDoesNotWrite) {
  const auto path = make_file(folder_ / "disk", kMiB);
  Loop loop(path, Loop::kReadOnly);
  NEED_LOOP(loop);
  EXPECT_THAT(uses(path), ElementsAre(use_of(UseKind::kLoopBacking, false, "attached to " + loop.path)));
}

TEST_F(InUse, LoopBackingIsFoundByAnyNameOfTheFile) {
  const auto path = make_file(folder_ / "disk", kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  std::filesystem::create_hard_link(path, folder_ / "link");
  std::filesystem::remove(path);
  EXPECT_THAT(uses(folder_ / "link"), ElementsAre(use_of(UseKind::kLoopBacking, true, "attached to " + loop.path)));
}

TEST_F(InUse, LoopDeviceOverALoopDeviceIsAUserOfBothBehindIt) {
  const auto path = make_file(folder_ / "disk", kMiB);
  Loop lower(path);
  NEED_LOOP(lower);
  Loop upper(lower.path);
  NEED_LOOP(upper);
  EXPECT_THAT(uses(lower.path), Contains(use_of(UseKind::kLoopBacking, true, "attached to " + upper.path)));
  EXPECT_THAT(uses(path), Contains(use_of(UseKind::kLoopBacking, true,
                                          "attached to " + upper.path + " (through " + lower.path + ")")));
}

TEST_F(InUse, MountedPartitionIsAUserOfItsDiskAndNotOfItsNeighbour) {
  Loop loop(make_file(folder_ / "disk", 16 * kMiB), Loop::kPartitions);
  NEED_LOOP(loop);
  const auto first = loop.add_partition(1);
  const auto second = loop.add_partition(2);
  if (second.empty() || make_ext4(first).empty()) GTEST_SKIP() << "no partition devices, or no mke2fs";
  const auto where = folder_ / "mounted";
  const Mounted mounted(first, where, "ext4");
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(loop.path), ElementsAre(use_of(UseKind::kMounted, true, "mounted at " + where + " (partition 1)")));
  EXPECT_THAT(uses(first), ElementsAre(use_of(UseKind::kMounted, true, "mounted at " + where)));
  EXPECT_THAT(uses(second), IsEmpty());
  EXPECT_THAT(
      uses(folder_ / "disk"),
      Contains(use_of(UseKind::kMounted, true, "mounted at " + where + " (partition 1) (through " + loop.path + ")")));
}

TEST_F(InUse, DiskMountedWholeIsInUseByItsPartitionsToo) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path, Loop::kPartitions);
  NEED_LOOP(loop);
  const auto partition = loop.add_partition(1);
  if (partition.empty()) GTEST_SKIP() << "no partition devices";
  const auto where = folder_ / "mounted";
  const Mounted mounted(loop.path, where, "ext4");
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(partition), ElementsAre(use_of(UseKind::kMounted, true,
                                                  "mounted at " + where + " (its whole disk, " + loop.name() + ")")));
}

TEST_F(InUse, LoopDeviceOverTheWholeDiskIsAUserOfItsPartitions) {
  Loop loop(make_file(folder_ / "disk", 16 * kMiB), Loop::kPartitions);
  NEED_LOOP(loop);
  const auto partition = loop.add_partition(1);
  if (partition.empty()) GTEST_SKIP() << "no partition devices";
  EXPECT_THAT(uses(partition), IsEmpty());
  Loop upper(loop.path);
  NEED_LOOP(upper);
  EXPECT_THAT(uses(partition),
              ElementsAre(use_of(UseKind::kLoopBacking, true,
                                 "attached to " + upper.path + " (its whole disk, " + loop.name() + ")")));
}

TEST_F(InUse, SwapIsInUse) {
  const auto path = make_file(folder_ / "disk", 4 * kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  if (!run("mkswap " + loop.path)) GTEST_SKIP() << "no mkswap";
  if (swapon(loop.path.c_str(), 0) != 0) GTEST_SKIP() << "swapon is refused: " << std::strerror(errno);
  const auto found = uses(loop.path);
  const auto found_behind = uses(path);
  ASSERT_EQ(swapoff(loop.path.c_str()), 0);
  EXPECT_THAT(found, ElementsAre(use_of(UseKind::kSwap, true, "swap")));
  EXPECT_THAT(found_behind, Contains(use_of(UseKind::kSwap, true, "swap (through " + loop.path + ")")));
}

TEST_F(InUse, DeviceMapperIsAHolder) {
  Loop loop(make_file(folder_ / "disk", kMiB));
  NEED_LOOP(loop);
  const std::string name = "drseed-block-test-" + std::to_string(getpid());
  if (!run("dmsetup create " + name + " --table '0 2048 linear " + loop.path + " 0'")) {
    GTEST_SKIP() << "no device mapper";
  }
  const auto found = uses(loop.path);
  EXPECT_TRUE(run("dmsetup remove " + name));
  EXPECT_THAT(found, ElementsAre(AllOf(Field("kind", &Use::kind, UseKind::kHeld),
                                       Field("what", &Use::what, HasSubstr("held by dm-")),
                                       Field("what", &Use::what, HasSubstr(name)))));
}

TEST_F(InUse, ExclusiveOpenByAnotherIsInUse) {
  Loop loop(make_file(folder_ / "disk", kMiB));
  NEED_LOOP(loop);
  {
    const UniqueFd held(::open(loop.path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    ASSERT_TRUE(held);
    EXPECT_THAT(uses(loop.path), ElementsAre(Field("kind", &Use::kind, UseKind::kExclusive)));
    Loop upper(loop.path);  // attached to a loop device as well: that does not explain it
    EXPECT_THAT(uses(loop.path), Contains(Field("kind", &Use::kind, UseKind::kExclusive)));
  }
  EXPECT_THAT(uses(loop.path), IsEmpty());
}

TEST(Describe, JoinsTheUses) {
  EXPECT_EQ(describe({}), "");
  EXPECT_EQ(describe({{UseKind::kMounted, true, "mounted at /srv/data"}, {UseKind::kSwap, true, "swap"}}),
            "mounted at /srv/data; swap");
}

// ---- Same disk ----

class SameDisk : public InUse {};

bool same(const std::string& a, const std::string& b) {
  const auto forwards = same_disk(a, b);
  const auto backwards = same_disk(b, a);
  EXPECT_TRUE(forwards && backwards);
  EXPECT_EQ(*forwards, *backwards);
  return *forwards;
}

TEST_F(SameDisk, FileIsItselfByAnyNameAndNotItsCopy) {
  const auto path = make_file(folder_ / "disk", kMiB);
  std::filesystem::create_hard_link(path, folder_ / "hard");
  std::filesystem::create_symlink(path, folder_ / "soft");
  std::filesystem::copy_file(path, folder_ / "copy");
  EXPECT_TRUE(same(path, folder_ / "hard"));
  EXPECT_TRUE(same(path, folder_ / "soft"));
  EXPECT_FALSE(same(path, folder_ / "copy"));
  EXPECT_EQ(same_disk(path, folder_ / "nothing").error().system_errno, ENOENT);
}

TEST_F(SameDisk, LoopDeviceIsWhatIsBehindItThroughAnyChain) {
  const auto path = make_file(folder_ / "disk", kMiB);
  const auto other = make_file(folder_ / "other", kMiB);
  Loop lower(path);
  Loop upper(lower.path);
  Loop beside(path);
  Loop unrelated(other);
  for (const auto* loop : {&lower, &upper, &beside, &unrelated}) NEED_LOOP(*loop);
  EXPECT_TRUE(same(lower.path, path));
  EXPECT_TRUE(same(upper.path, lower.path));
  EXPECT_TRUE(same(upper.path, path));
  EXPECT_TRUE(same(upper.path, beside.path));
  EXPECT_FALSE(same(unrelated.path, path));
  EXPECT_FALSE(same(unrelated.path, upper.path));
}

TEST_F(SameDisk, DeviceNodeByAnotherNameIsTheSameDisk) {
  Loop loop(make_file(folder_ / "disk", kMiB));
  NEED_LOOP(loop);
  struct stat state {};
  ASSERT_EQ(stat(loop.path.c_str(), &state), 0);
  if (mknod((folder_ / "node").c_str(), S_IFBLK | 0600, state.st_rdev) != 0) GTEST_SKIP() << "mknod is refused";
  EXPECT_TRUE(same(loop.path, folder_ / "node"));
}

TEST_F(SameDisk, PartitionIsNotItsDisk) {
  Loop loop(make_file(folder_ / "disk", 16 * kMiB), Loop::kPartitions);
  NEED_LOOP(loop);
  const auto partition = loop.add_partition(1);
  if (partition.empty()) GTEST_SKIP() << "no partition devices";
  EXPECT_FALSE(same(partition, loop.path));
}

}  // namespace
}  // namespace drseed::block
