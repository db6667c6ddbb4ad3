#pragma once
// Reads, writes and flushes of one device, many in flight: io_uring, or a pool of threads behind the same interface.
//
// Owned and used by one thread. The caller owns the buffers, which must stay until their completion is returned. A
// request is completed once and whole: short transfers are continued inside. A read that meets the end of the device
// completes with ENODATA, a write past it with ENOSPC. A flush covers the writes that were completed before it was
// submitted. A failed flush fails the device (Device::fail_flush): later writes and flushes complete with that error.
// In IoMode::kAuto a read that the page cache holds is taken from there without waiting (RWF_NOWAIT), others go to the
// direct descriptor.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "block/device.h"

namespace drseed::block {

enum class IoKind { kRead, kWrite, kFlush };

struct IoRequest {
  IoKind kind = IoKind::kRead;
  std::uint8_t* data = nullptr;  // not written to by kWrite
  std::uint32_t length_bytes = 0;
  std::uint64_t offset_bytes = 0;
  std::uint64_t tag = 0;  // comes back with the completion
};

struct IoCompletion {
  std::uint64_t tag = 0;
  int system_errno = 0;  // 0: done whole; never negative
};

enum class IoEngine { kAuto, kUring, kThreads };

class IoQueue {
 public:
  virtual ~IoQueue() = default;  // waits for what is in flight

  // Precondition: in_flight() < depth().
  virtual void submit(const IoRequest& request) = 0;
  // Waits for one completion. Precondition: in_flight() > 0. Completions come in any order.
  virtual IoCompletion wait() = 0;
  virtual std::size_t in_flight() const = 0;
  virtual std::size_t depth() const = 0;
  virtual std::string_view engine_name() const = 0;  // "io_uring" or "threads"
};

// kAuto takes io_uring where the kernel allows it, else threads, with one line in the log that names the likely cause
// (io_uring_disabled sysctl, a container's seccomp profile, memlock). $DRSEED_IO_ENGINE=threads forces the fallback.
// kUring is an error where io_uring is not to be had. The device must outlive the queue. 1 <= depth <= kIoDepthMax.
inline constexpr std::size_t kIoDepthMax = 4096;  // beyond any disk's queue; keeps a ring below the memlock limit
Result<std::unique_ptr<IoQueue>> make_io_queue(Device& device, std::size_t depth, IoEngine engine = IoEngine::kAuto);

}  // namespace drseed::block
