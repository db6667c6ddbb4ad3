// Reading, writing, zeroing, discarding and flushing a Device.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "block/device.h"
#include "block/transfer.h"

namespace drseed::block {
namespace {

// One BLKZEROOUT or BLKDISCARD; a larger range is split, so that a signal need not wait for the whole disk.
constexpr std::uint64_t kZeroStepBytes = 256ull << 20;
constexpr std::size_t kZeroBufferBytes = 256u << 10;

alignas(4096) constexpr std::array<std::uint8_t, kZeroBufferBytes> kZeros{};

bool is_unsupported(int system_errno) {
  return system_errno == EOPNOTSUPP || system_errno == ENOSYS || system_errno == ENOTTY || system_errno == EINVAL;
}

int fallocate_whole(int fd, int mode, Extent range) {
  for (;;) {
    if (fallocate(fd, mode, static_cast<off_t>(range.offset_bytes), static_cast<off_t>(range.length_bytes)) == 0) {
      return 0;
    }
    if (errno != EINTR) return errno;
  }
}

// BLKZEROOUT or BLKDISCARD over a range, in steps. `reached` is how far it came.
int ioctl_in_steps(int fd, unsigned long request, Extent range, std::uint64_t& reached) {
  for (reached = range.offset_bytes; reached < range.end();) {
    std::uint64_t step[2] = {reached, std::min(kZeroStepBytes, range.end() - reached)};
    if (ioctl(fd, request, step) != 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    reached += step[1];
  }
  return 0;
}

// The blocks that lie whole in the range; empty (at the range's end) if there are none.
Extent aligned_part(Extent range, std::uint64_t alignment) {
  const std::uint64_t begin = (range.offset_bytes + alignment - 1) / alignment * alignment;
  const std::uint64_t end = range.end() / alignment * alignment;
  return begin < end ? Extent{begin, end - begin} : Extent{range.end(), 0};
}

}  // namespace

Result<> Device::read(std::span<std::uint8_t> bytes, std::uint64_t offset_bytes) const {
  std::uint64_t done = 0;
  const int failed = read_whole(*this, {bytes.data(), offset_bytes, bytes.size()}, done);
  if (failed == 0) return {};
  if (failed == ENODATA) {
    Error error{ErrorCode::kEnvironment, failed,
                fmt::format("{}: ends at offset {} (expected {} bytes from offset {}, found {}); is it cut short?",
                            path_, offset_bytes + done, bytes.size(), offset_bytes, done)};
    return tl::unexpected(std::move(error));
  }
  return fail_errno(failed,
                    "{}: cannot be read at offset {} (expected {} bytes from offset {}, found {}); "
                    "the kernel's log (dmesg) says more",
                    path_, offset_bytes + done, bytes.size(), offset_bytes, done);
}

Result<> Device::write(std::span<const std::uint8_t> bytes, std::uint64_t offset_bytes) {
  DRSEED_TRY(check_writable(offset_bytes, bytes.size()));
  std::uint64_t done = 0;
  const int failed = write_whole(*this, {const_cast<std::uint8_t*>(bytes.data()), offset_bytes, bytes.size()}, done);
  if (failed == 0) return {};
  return fail_errno(failed, "{}: cannot be written at offset {} (expected {} bytes from offset {}, done {}); {}", path_,
                    offset_bytes + done, bytes.size(), offset_bytes, done,
                    failed == ENOSPC ? "free space where it is stored" : "the kernel's log (dmesg) says more");
}

Result<> Device::zero(Extent range) {
  DRSEED_TRY(check_writable(range.offset_bytes, range.length_bytes));
  if (range.length_bytes == 0) return {};
  if (kind_ == Kind::kRegularFile) {
    int failed = fallocate_whole(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range);
    if (is_unsupported(failed)) failed = fallocate_whole(fd_.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, range);
    if (failed == 0) return {};
    if (is_unsupported(failed)) return write_zeros(range);
    return fail_errno(failed, "{}: {} bytes at offset {} cannot be zeroed", path_, range.length_bytes,
                      range.offset_bytes);
  }

  const Extent middle = aligned_part(range, alignment_bytes_);
  const std::uint64_t head_end = std::min(middle.offset_bytes, range.end());
  DRSEED_TRY(write_zeros({range.offset_bytes, head_end - range.offset_bytes}));
  std::uint64_t reached = 0;
  const int failed = ioctl_in_steps(fd_.get(), BLKZEROOUT, middle, reached);
  if (failed != 0 && !is_unsupported(failed)) {
    return fail_errno(failed, "{}: {} bytes at offset {} cannot be zeroed; the kernel's log (dmesg) says more", path_,
                      range.end() - reached, reached);
  }
  return write_zeros({reached, range.end() - reached});
}

Result<> Device::write_zeros(Extent range) {
  while (range.length_bytes > 0) {
    // Short of a block at first, so that the rest is aligned and goes past the page cache.
    const std::uint64_t to_aligned = kZeroBufferBytes - range.offset_bytes % kZeroBufferBytes;
    const std::uint64_t step = std::min(range.length_bytes, to_aligned);
    DRSEED_TRY(write({kZeros.data(), step}, range.offset_bytes));
    range = {range.offset_bytes + step, range.length_bytes - step};
  }
  return {};
}

Result<> Device::discard(Extent range) {
  DRSEED_TRY(check_writable(range.offset_bytes, range.length_bytes));
  const Extent whole = aligned_part(range, alignment_bytes_);
  if (whole.length_bytes == 0) return {};
  std::uint64_t reached = whole.offset_bytes;
  const int failed = kind_ == Kind::kRegularFile
                         ? fallocate_whole(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, whole)
                         : ioctl_in_steps(fd_.get(), BLKDISCARD, whole, reached);
  if (failed == 0 || is_unsupported(failed)) return {};
  return fail_errno(failed, "{}: {} bytes at offset {} cannot be discarded", path_, whole.end() - reached, reached);
}

Result<> Device::flush() {
  std::lock_guard lock(flush_mutex_);
  DRSEED_TRY(check_usable());
  if (fdatasync(fd_.get()) == 0) return {};
  fail_flush(errno);
  return check_usable();
}

Result<> Device::check_usable() const {
  const int failed = flush_errno();
  if (failed == 0) return {};
  return fail_errno(failed,
                    "{}: a flush failed, so data written before it may be lost; it takes no more writes until it is "
                    "opened again and its content verified",
                    path_);
}

Result<> Device::check_writable(std::uint64_t offset_bytes, std::uint64_t length_bytes) const {
  DRSEED_TRY(check_usable());
  if (fits(*this, offset_bytes, length_bytes)) return {};
  return fail_errno(ENOSPC, "{}: {} bytes at offset {} do not fit in its {} bytes", path_, length_bytes, offset_bytes,
                    size_bytes());
}

}  // namespace drseed::block
