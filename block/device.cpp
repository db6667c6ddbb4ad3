// Opening a Device, its geometry, size and holes. Reading and writing: device_io.cpp.
#include "block/device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "block/transfer.h"

namespace drseed::block {
namespace {

// A mistyped disk must not become a file in memory.
bool is_below_dev(const std::string& path) {
  return path.starts_with("/dev/") && !path.starts_with("/dev/shm/");
}

struct PathState {
  bool exists = false;
  bool is_block_device = false;
};

Result<PathState> examine(const std::string& path, const OpenOptions& options) {
  struct stat state {};
  if (stat(path.c_str(), &state) == 0) {
    if (!S_ISBLK(state.st_mode) && !S_ISREG(state.st_mode)) {
      return fail(ErrorCode::kUsage, "{}: neither a block device nor a regular file; name one of these", path);
    }
    return PathState{true, S_ISBLK(state.st_mode)};
  }
  const int reason = errno;
  if (reason != ENOENT || !options.create) return fail_errno(reason, "{}: cannot be opened", path);
  if (is_below_dev(path)) {
    return fail_errno(ENOENT, "{}: cannot be created, files are not made below /dev; check the name", path);
  }
  return PathState{};
}

tl::unexpected<Error> open_failure(const std::string& path, const OpenOptions& options, int reason) {
  if (reason == EBUSY && options.exclusive) {
    Error error{ErrorCode::kRefused, reason,
                fmt::format("{}: is mounted or held by another program; unmount or release it first", path)};
    return tl::unexpected(std::move(error));
  }
  const auto* purpose = options.access == Access::kRead ? "reading" : "reading and writing";
  return fail_errno(reason, "{}: cannot be opened for {}", path, purpose);
}

std::uint32_t page_bytes() {
  return static_cast<std::uint32_t>(sysconf(_SC_PAGESIZE));
}

// What the kernel says of direct I/O on this file: its alignment, 0 where it is not supported, nothing where the kernel
// or the file system is too old to say.
std::optional<std::uint32_t> direct_io_alignment(int fd) {
#ifdef STATX_DIOALIGN
  struct statx state {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &state) != 0) return std::nullopt;
  if ((state.stx_mask & STATX_DIOALIGN) == 0) return std::nullopt;
  if (state.stx_dio_offset_align == 0) return 0;
  return std::max(state.stx_dio_offset_align, state.stx_dio_mem_align);
#else
  (void)fd;
  return std::nullopt;
#endif
}

}  // namespace

Result<std::unique_ptr<Device>> Device::open(const std::string& path, const OpenOptions& options) {
  assert(!options.create || options.access == Access::kReadWrite);
  const PathState state = DRSEED_TRY(examine(path, options));
  const int access_flags = options.access == Access::kRead ? O_RDONLY : O_RDWR;
  const int common_flags = access_flags | O_CLOEXEC | O_NOCTTY;

  int flags = common_flags;
  if (options.exclusive && state.is_block_device) flags |= O_EXCL;
  if (!state.exists) flags |= O_CREAT;
  UniqueFd fd(::open(path.c_str(), flags, 0600));
  if (!fd) return open_failure(path, options, errno);

  std::unique_ptr<Device> device(new Device);
  device->path_ = path;
  device->io_ = options.io;
  device->fd_ = std::move(fd);
  DRSEED_TRY(device->find_geometry());
  if (options.io != IoMode::kBuffered) DRSEED_TRY(device->open_direct(access_flags));
  return device;
}

Result<> Device::find_geometry() {
  struct stat state {};
  if (fstat(fd_.get(), &state) != 0) return fail_errno(errno, "{}: its kind cannot be read", path_);
  if (S_ISREG(state.st_mode)) {
    kind_ = Kind::kRegularFile;
    size_bytes_ = static_cast<std::uint64_t>(state.st_size);
  } else if (S_ISBLK(state.st_mode)) {
    kind_ = Kind::kBlockDevice;
    std::uint64_t size = 0;
    int logical = 0;
    unsigned physical = 0;
    if (ioctl(fd_.get(), BLKGETSIZE64, &size) != 0) return fail_errno(errno, "{}: its size cannot be read", path_);
    if (ioctl(fd_.get(), BLKSSZGET, &logical) != 0 || ioctl(fd_.get(), BLKPBSZGET, &physical) != 0) {
      return fail_errno(errno, "{}: its sector size cannot be read", path_);
    }
    size_bytes_ = size;
    logical_sector_bytes_ = static_cast<std::uint32_t>(logical);
    physical_sector_bytes_ = physical;
  } else {
    return fail(ErrorCode::kUsage, "{}: neither a block device nor a regular file; name one of these", path_);
  }
  alignment_bytes_ = std::max(page_bytes(), logical_sector_bytes_);
  return {};
}

Result<> Device::open_direct(int open_flags) {
  const auto alignment = direct_io_alignment(fd_.get());
  UniqueFd fd;
  if (alignment != 0u) fd = reopen(*this, open_flags | O_DIRECT);
  if (fd) {
    direct_fd_ = std::move(fd);
    alignment_bytes_ = std::max(alignment_bytes_, alignment.value_or(0));
    return {};
  }
  if (io_ == IoMode::kAuto) return {};
  return fail(ErrorCode::kEnvironment,
              "{}: direct I/O (O_DIRECT) is refused here; choose the automatic or the buffered mode", path_);
}

int Device::fd_for(const void* data, std::uint64_t offset_bytes, std::uint64_t length_bytes) const {
  const std::uint64_t misaligned = reinterpret_cast<std::uintptr_t>(data) | offset_bytes | length_bytes;
  return direct() && misaligned % alignment_bytes_ == 0 ? direct_fd_.get() : fd_.get();
}

std::optional<Extent> Device::next_data(std::uint64_t offset_bytes) const {
  const std::uint64_t size = size_bytes();
  if (offset_bytes >= size) return std::nullopt;
  const Extent rest{offset_bytes, size - offset_bytes};
  if (kind_ == Kind::kBlockDevice) return rest;

  const off_t data = lseek(fd_.get(), static_cast<off_t>(offset_bytes), SEEK_DATA);
  if (data < 0) {
    const bool only_holes = errno == ENXIO;
    // ENXIO also when the file was cut meanwhile. Then the rest is data, whose reading fails.
    struct stat status {};
    const bool whole = fstat(fd_.get(), &status) == 0 && static_cast<std::uint64_t>(status.st_size) >= size;
    return only_holes && whole ? std::nullopt : std::optional(rest);
  }
  const auto begin = static_cast<std::uint64_t>(data);
  if (begin >= size) return std::nullopt;
  const off_t hole = lseek(fd_.get(), data, SEEK_HOLE);
  const std::uint64_t end = hole < 0 ? size : std::min(static_cast<std::uint64_t>(hole), size);
  return Extent{begin, end - begin};
}

Result<> Device::grow(std::uint64_t size_bytes) {
  if (kind_ != Kind::kRegularFile) {
    return fail(ErrorCode::kUsage, "{}: a block device of {} bytes cannot be grown to {}", path_, this->size_bytes(),
                size_bytes);
  }
  if (size_bytes < this->size_bytes()) {
    return fail(ErrorCode::kUsage, "{}: has {} bytes and is never shrunk (to {}); create a new file instead", path_,
                this->size_bytes(), size_bytes);
  }
  DRSEED_TRY(check_usable());
  if (ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) {
    return fail_errno(errno, "{}: cannot be grown from {} to {} bytes", path_, this->size_bytes(), size_bytes);
  }
  size_bytes_ = size_bytes;
  return {};
}

}  // namespace drseed::block
