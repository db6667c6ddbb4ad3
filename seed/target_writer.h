#pragma once
// Where an apply writes: a device or file, many writes under way, with checkpoints for --resume; or a pipe. One thread.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "block/buffer_pool.h"
#include "block/io_queue.h"
#include "seed/apply_journal.h"

namespace drseed::seed {

// A stretch of the disk, proven and ready.
struct Piece {
  enum class Kind {
    kData,       // `plain` goes to the target
    kZeros,      // the target is zeroed there
    kIdentical,  // the target holds it already
    kEarlier,    // an earlier run, now resumed, put it there
    kDamaged,    // the image does not give it: the target stays as it is
  };
  Kind kind = Kind::kDamaged;
  Range range;
  block::Buffer plain;
  Digest256 sha256{};             // of the plain bytes, where they are not zeros
  bool zeros = false;             // its content is zeros, whatever the kind
  std::string problem;            // kDamaged: why
  std::string container_problem;  // what is wrong around a segment that proved itself all the same
  std::vector<Range> unreadable;  // sectors that the source could not read; zeros stand for them
};

struct ApplyTotals {
  std::uint64_t written_bytes = 0;
  std::uint64_t zeroed_bytes = 0;
  std::uint64_t identical_bytes = 0;
  std::uint64_t earlier_bytes = 0;
};

class TargetWriter {
 public:
  virtual ~TargetWriter() = default;
  // Pieces come ascending, without a gap.
  virtual Result<> apply(Piece piece) = 0;
  // Everything is on stable storage.
  virtual Result<> finish() = 0;
  // After an error elsewhere: what was done is made durable and noted, as far as that is possible.
  virtual void abandon() = 0;
  const ApplyTotals& totals() const { return totals_; }

 protected:
  ApplyTotals totals_;
};

// `journal` (nothing for none) is kept up to date at `path` while the writer works. A regular file grows as needed;
// behind `zero_from_bytes` it is known to be holes. At most `depth` buffers are kept.
struct DeviceWriterOptions {
  std::size_t depth = 8;
  std::string journal_path;  // "": none
  std::uint64_t zero_from_bytes = UINT64_MAX;
};
Result<std::unique_ptr<TargetWriter>> open_device_writer(block::Device& device, ApplyJournal& journal,
                                                         const DeviceWriterOptions& options);

// Zeros stand for damaged ranges, so that what follows stays in its place. Takes the descriptor, which is closed by
// finish().
std::unique_ptr<TargetWriter> open_pipe_writer(UniqueFd fd, std::vector<BadRange>& damaged);

}  // namespace drseed::seed
