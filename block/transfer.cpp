#include "block/transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

namespace drseed::block {
namespace {

// cachestat(2), Linux 6.5; the C library of Debian 12 does not know it.
constexpr long kCachestatCall = 451;
struct CachestatRange {
  std::uint64_t offset_bytes, length_bytes;
};
struct Cachestat {
  std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

// Asked first, because RWF_NOWAIT on a page that is not there starts a read-ahead: the disk would read it twice.
bool page_cache_holds(int fd, std::uint64_t offset_bytes, std::uint64_t length_bytes) {
  static const auto page_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const CachestatRange range{offset_bytes, length_bytes};
  Cachestat found{};
  if (syscall(kCachestatCall, fd, &range, &found, 0) != 0) return false;
  return found.cached >= (offset_bytes + length_bytes - 1) / page_bytes - offset_bytes / page_bytes + 1;
}

std::uint64_t rounded_down(std::uint64_t value, std::uint64_t alignment) {
  return value - value % alignment;
}

template <typename Call>
int transfer_whole(const Device& device, const Transfer& transfer, std::uint64_t& done, int errno_at_end, Call call) {
  while (done < transfer.length_bytes) {
    const Piece piece = next_piece(device, transfer, done);
    const ssize_t moved = call(piece.fd, transfer.data + piece.begin, piece.length_bytes,
                               static_cast<off_t>(transfer.offset_bytes + piece.begin));
    if (moved < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (moved < 0) return errno;
    const std::uint64_t reached = piece.begin + static_cast<std::uint64_t>(moved);
    if (reached <= done) return errno_at_end;
    done = reached;
  }
  return 0;
}

}  // namespace

Piece next_piece(const Device& device, const Transfer& transfer, std::uint64_t done) {
  assert(done < transfer.length_bytes);
  const Piece buffered{device.buffered_fd(), done, transfer.length_bytes - done};
  const std::uint64_t alignment = device.alignment_bytes();
  if (!device.direct()) return buffered;
  // Memory and offset must meet alignment at the same bytes.
  if ((reinterpret_cast<std::uintptr_t>(transfer.data) - transfer.offset_bytes) % alignment != 0) return buffered;

  const std::uint64_t position = transfer.offset_bytes + done;
  const std::uint64_t end = rounded_down(transfer.offset_bytes + transfer.length_bytes, alignment);
  std::uint64_t begin = rounded_down(position, alignment);
  if (begin < transfer.offset_bytes) begin += alignment;
  if (begin >= end) return buffered;  // no aligned block in what is left (the tail, or a transfer inside one block)
  if (begin > position) return {device.buffered_fd(), done, begin - position};  // the head, up to the first block
  return {device.direct_fd(), begin - transfer.offset_bytes, end - begin};
}

std::uint64_t read_from_page_cache(const Device& device, const Transfer& transfer) {
  if (device.io_mode() != IoMode::kAuto || !device.direct() || transfer.length_bytes == 0) return 0;
  if (!page_cache_holds(device.buffered_fd(), transfer.offset_bytes, transfer.length_bytes)) return 0;
  const iovec vector{transfer.data, transfer.length_bytes};
  const ssize_t got = preadv2(device.buffered_fd(), &vector, 1, static_cast<off_t>(transfer.offset_bytes), RWF_NOWAIT);
  return got < 0 ? 0 : static_cast<std::uint64_t>(got);
}

int read_whole(const Device& device, const Transfer& transfer, std::uint64_t& done) {
  done = read_from_page_cache(device, transfer);
  return transfer_whole(device, transfer, done, ENODATA, pread);
}

int write_whole(const Device& device, const Transfer& transfer, std::uint64_t& done) {
  done = 0;
  return transfer_whole(device, transfer, done, EIO, pwrite);
}

bool fits(const Device& device, std::uint64_t offset_bytes, std::uint64_t length_bytes) {
  const std::uint64_t size = device.size_bytes();
  return offset_bytes <= size && length_bytes <= size - offset_bytes;
}

int write_refused(const Device& device, std::uint64_t offset_bytes, std::uint64_t length_bytes) {
  if (const int failed = device.flush_errno(); failed != 0) return failed;
  return fits(device, offset_bytes, length_bytes) ? 0 : ENOSPC;
}

UniqueFd reopen(const Device& device, int open_flags) {
  UniqueFd fd(open(device.path().c_str(), open_flags | O_CLOEXEC | O_NOCTTY));
  struct stat ours {};
  struct stat found {};
  if (!fd || fstat(device.buffered_fd(), &ours) != 0 || fstat(fd.get(), &found) != 0) return {};
  const bool same = S_ISBLK(ours.st_mode) ? S_ISBLK(found.st_mode) && ours.st_rdev == found.st_rdev
                                          : ours.st_dev == found.st_dev && ours.st_ino == found.st_ino;
  return same ? std::move(fd) : UniqueFd();
}

}  // namespace drseed::block
