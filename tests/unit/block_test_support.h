#pragma once
// What the tests of block/ share: files in a temporary folder, loop devices and mounts over them where root may have
// them (NEED_LOOP, NEED_MOUNT skip the test otherwise), and what the page cache holds. All of it is undone at the end.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "block/device.h"

namespace drseed::block {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::size_t kSector = 512;

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

inline std::vector<std::uint8_t> pattern(std::size_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> bytes(length);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

inline std::string make_file(const std::string& path, std::uint64_t size_bytes) {
  std::ofstream(path).close();
  std::filesystem::resize_file(path, size_bytes);
  return path;
}

inline void put(const std::string& path, std::uint64_t offset_bytes, const std::vector<std::uint8_t>& bytes) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset_bytes)),
            static_cast<ssize_t>(bytes.size()));
}

// What a reader through the page cache and one past it see.
inline std::vector<std::uint8_t> content_of(const std::string& path, std::size_t length, int flags = 0) {
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
inline std::optional<CacheState> cache_state(int fd) {
  const std::uint64_t whole[2] = {0, 0};
  CacheState state{};
  constexpr long kCachestatCall = 451;
  if (syscall(kCachestatCall, fd, whole, &state, 0) != 0) return std::nullopt;
  return state;
}

inline std::unique_ptr<Device> open_device(const std::string& path, IoMode io = IoMode::kAuto,
                                           Access access = Access::kReadWrite) {
  OpenOptions options;
  options.access = access;
  options.io = io;
  auto device = Device::open(path, options);
  EXPECT_TRUE(device) << device.error().message();
  return device ? std::move(*device) : nullptr;
}

inline bool run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

// `path`, or "" where there is no mke2fs.
inline std::string make_ext4(const std::string& path, const std::string& options = "") {
  return run("mke2fs -t ext4 -q -F " + options + " '" + path + "'") ? path : "";
}

// An MBR with one partition, from 1 MiB on.
inline void put_partition_table(const std::string& path) {
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

}  // namespace drseed::block
