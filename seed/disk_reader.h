#pragma once
// Reads a disk segment by segment, ascending, several reads ahead. One thread.

#include <deque>
#include <memory>
#include <vector>

#include "block/buffer_pool.h"
#include "block/device.h"
#include "block/io_queue.h"
#include "seed/image_format.h"

namespace drseed::seed {

struct PlainSegment {
  Range range;
  block::Buffer buffer;           // empty for a hole: zeros that need not be read
  int read_errno = 0;             // the read failed, the buffer's content is undefined
  std::vector<Range> unreadable;  // set by salvage()

  bool hole() const { return !buffer; }
  std::span<const std::uint8_t> bytes() const { return buffer.first(range.length_bytes); }
};

class DiskReader {
 public:
  struct Options {
    std::uint32_t segment_bytes = kSegmentBytesDefault;
    Range range;                       // begins at a multiple of segment_bytes
    std::uint64_t hole_bytes_max = 0;  // the longest run of zeros handed out at a time; a multiple of segment_bytes
    std::size_t read_ahead = 4;
  };
  // The pool's buffers hold a segment; it must have more of them than are kept by others at any time.
  static Result<std::unique_ptr<DiskReader>> open(block::Device& device, block::BufferPool& pool,
                                                  const Options& options);

  // The next segment or run of holes; nothing at the end. A failed read is no Error here: see read_errno.
  Result<std::optional<PlainSegment>> next();

 private:
  DiskReader(block::Device& device, block::BufferPool& pool, const Options& options);
  Result<> read_ahead();
  std::uint64_t hole_end(std::uint64_t offset);

  struct Pending {
    PlainSegment segment;
    bool done = false;
  };

  block::Device& device_;
  block::BufferPool& pool_;
  const Options options_;
  std::deque<Pending> pending_;
  std::unique_ptr<block::IoQueue> queue_;  // destroyed first: it waits for reads into pending_
  std::uint64_t first_tag_ = 0;            // of pending_.front()
  std::uint64_t next_offset_ = 0;
  std::optional<block::Extent> data_;  // the run of data at or after next_offset_
};

// Reads what can be read of a segment whose read failed, piece by piece down to 4 KiB or the physical sector, whichever
// is larger; the rest is zero and listed in `unreadable`, at most kUnreadableRangesMax ranges (more are merged
// outward). With `all` false it ends at the first such range. Fails only at an interrupt.
Result<> salvage(const block::Device& device, PlainSegment& segment, bool all);

}  // namespace drseed::seed
