#pragma once
// A block device or a regular file used as a disk.
//
// Opens by path; knows its size, sectors and holes; reads, writes, zeroes, discards and flushes synchronously. Deep
// queues are in io_queue.h. All offsets and lengths are in bytes. Functions may be called from several threads at once.
// A failed flush fails the device: every later write, zero and flush returns that failure (a page that the kernel could
// not write is dropped and marked clean, so a second fsync that succeeds proves nothing).

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace drseed::block {

enum class Access { kRead, kReadWrite };

// kAuto: a read that the page cache holds whole is taken from there (Linux 6.5 or newer can tell without reading
// ahead), others go past it (O_DIRECT); writes are direct. Where O_DIRECT is refused (tmpfs, some file systems), kAuto
// falls back to buffered, kDirect is an error.
enum class IoMode { kAuto, kDirect, kBuffered };

enum class Kind { kBlockDevice, kRegularFile };

struct OpenOptions {
  Access access = Access::kRead;
  IoMode io = IoMode::kAuto;
  bool exclusive = false;  // O_EXCL on a block device: fails with kRefused while it is mounted or held
  bool create = false;     // a regular file that is missing is created, empty, mode 0600; not below /dev (kUsage)
};

struct Extent {
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
  std::uint64_t end() const { return offset_bytes + length_bytes; }
  bool operator==(const Extent&) const = default;
};

class Device {
 public:
  // Anything but a block device or a regular file is an error (kUsage).
  static Result<std::unique_ptr<Device>> open(const std::string& path, const OpenOptions& options);

  const std::string& path() const { return path_; }
  Kind kind() const { return kind_; }
  std::uint64_t size_bytes() const { return size_bytes_.load(); }
  std::uint32_t logical_sector_bytes() const { return logical_sector_bytes_; }    // 512 for a file
  std::uint32_t physical_sector_bytes() const { return physical_sector_bytes_; }  // 4096 for a file
  // What offset, length and memory of direct I/O must be multiples of. At least a page, also where the disk would take
  // less: direct and buffered writes that share a page of the cache could undo each other.
  std::uint32_t alignment_bytes() const { return alignment_bytes_; }
  bool direct() const { return direct_fd_.valid(); }
  int buffered_fd() const { return fd_.get(); }
  int direct_fd() const { return direct_fd_.get(); }  // -1: none
  IoMode io_mode() const { return io_; }

  // The descriptor for one request: the direct one where it is open and everything is aligned, else the buffered one.
  int fd_for(const void* data, std::uint64_t offset_bytes, std::uint64_t length_bytes) const;

  // Reads or writes exactly that many bytes. Past the end is kEnvironment, naming the offset (ENODATA, ENOSPC): a file
  // grows by grow() only.
  Result<> read(std::span<std::uint8_t> bytes, std::uint64_t offset_bytes) const;
  Result<> write(std::span<const std::uint8_t> bytes, std::uint64_t offset_bytes);

  // Afterwards the range reads as zeros. BLKZEROOUT on a device; on a file a hole (FALLOC_FL_PUNCH_HOLE), else
  // FALLOC_FL_ZERO_RANGE, else zeros are written.
  Result<> zero(Extent range);

  // Tells the device that the content is of no use. What it reads as afterwards is not defined.
  Result<> discard(Extent range);

  // Everything written so far is on stable storage when this returns.
  Result<> flush();

  // The first run of data (not hole) that begins or continues at or after offset_bytes, cut to the size; nothing if
  // only holes follow. A block device, and a file system without SEEK_DATA, is data throughout.
  std::optional<Extent> next_data(std::uint64_t offset_bytes) const;

  // Regular files only: grows the file with a hole. Never shrinks (kUsage).
  Result<> grow(std::uint64_t size_bytes);

  // Called by io_queue.h as well, so that a failure there fails the device too.
  void fail_flush(int system_errno) { flush_errno_.store(system_errno); }
  int flush_errno() const { return flush_errno_.load(); }  // 0: no flush has failed
  Result<> check_usable() const;

 private:
  Device() = default;
  Result<> find_geometry();
  Result<> open_direct(int open_flags);
  Result<> check_writable(std::uint64_t offset_bytes, std::uint64_t length_bytes) const;
  Result<> write_zeros(Extent range);

  std::string path_;
  Kind kind_ = Kind::kRegularFile;
  IoMode io_ = IoMode::kAuto;
  UniqueFd fd_;
  UniqueFd direct_fd_;
  std::atomic<std::uint64_t> size_bytes_{0};
  std::uint32_t logical_sector_bytes_ = 512;
  std::uint32_t physical_sector_bytes_ = 4096;
  std::uint32_t alignment_bytes_ = 4096;
  std::atomic<int> flush_errno_{0};
  std::mutex flush_mutex_;  // one fdatasync at a time: the kernel tells an error to one of two only
};

// True if both paths name the same disk: the same device number or inode, one is a loop device over the other (chains
// too), or both are loop devices over the same.
Result<bool> same_disk(const std::string& path_a, const std::string& path_b);

}  // namespace drseed::block
