#include "seed/apply_job.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>

#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "seed/entry_spool.h"
#include "seed/ordered_digests.h"
#include "seed/pipeline.h"
#include "seed/segment_prover.h"
#include "seed/verify_job.h"

namespace drseed::seed {
namespace {

constexpr std::uint64_t kZeroPieceBytes =
    64 << 20;  // longest run of zeros handled at once: bounds waiting and progress steps

// The target of one apply: opened, checked, with its journal and writer.
class Target {
 public:
  Target(const std::string& path, const ApplyOptions& options) : path_(path), options_(options) {}

  // disk_bytes: of the image, where it is known.
  Result<> open(const std::string& image_identity, std::optional<std::uint64_t> disk_bytes, std::size_t depth) {
    journal_.image = image_identity;
    if (path_ == "-") {
      writer_ = open_pipe_writer(UniqueFd(dup(STDOUT_FILENO)), journal_.damaged);
      return {};
    }
    block::OpenOptions open;
    open.access = block::Access::kReadWrite;
    open.exclusive = options_.exclusive;
    open.create = true;
    const bool existed = access(path_.c_str(), F_OK) == 0;
    device_ = DRSEED_TRY(block::Device::open(path_, open));
    journal_.target = describe_target(*device_);
    journal_file_ = journal_path(options_.state_directory, path_);
    // Two runs at once would overwrite each other's work, and share a journal.
    DRSEED_TRY(lock_exclusively(device_->buffered_fd(), path_));
    const bool resumes = options_.resume && existed && DRSEED_TRY(load_earlier());
    auto checked = options_.check_target(*device_, resumes);
    if (checked) checked = check_size(disk_bytes);
    if (!checked) {
      if (!existed) unlink(path_.c_str());
      return checked;
    }
    DeviceWriterOptions writing;
    writing.depth = depth;
    writing.journal_path = journal_file_;
    writing.zero_from_bytes = device_->kind() == block::Kind::kRegularFile ? device_->size_bytes() : UINT64_MAX;
    if (disk_bytes && device_->kind() == block::Kind::kRegularFile && *disk_bytes > device_->size_bytes())
      DRSEED_TRY(device_->grow(*disk_bytes));
    writer_ = DRSEED_TRY(open_device_writer(*device_, journal_, writing));
    return {};
  }

  TargetWriter& writer() { return *writer_; }
  block::Device* device() { return device_.get(); }  // null for a pipe
  const ApplyJournal& journal() const { return journal_; }
  bool done_earlier(Range range) const { return earlier_.contains(range); }

  // The apply has come to its end. Where ranges are missing the journal stays: with a better copy of the image,
  // --resume fills them.
  Result<> close() {
    if (journal_file_.empty() || !journal_.damaged.empty()) return {};
    DRSEED_TRY(remove_journal(damage_report_path(options_.state_directory, path_)));
    return remove_journal(journal_file_);
  }

 private:
  Result<bool> load_earlier() {
    auto earlier = DRSEED_TRY(load_journal(journal_file_));
    if (!earlier) {
      log::warn("{}: no earlier apply is known ({}); starting at the beginning", path_, journal_file_);
      return false;
    }
    if (earlier->image != journal_.image || earlier->target != journal_.target) {
      return fail(ErrorCode::kRefused,
                  "{}: the interrupted apply was of {} to {}, now it is {} to {}; apply without --resume to start anew",
                  journal_file_, earlier->image, earlier->target, journal_.image, journal_.target);
    }
    journal_.done = earlier_ = std::move(earlier->done);
    log::info("{}: resuming, {} bytes are there", path_, earlier_.total_bytes());
    return true;
  }

  Result<> check_size(std::optional<std::uint64_t> disk_bytes) const {
    if (!disk_bytes || device_->kind() == block::Kind::kRegularFile || *disk_bytes <= device_->size_bytes()) return {};
    return fail(ErrorCode::kRefused, "{}: has {} bytes, the image needs {}: too small; nothing was written", path_,
                device_->size_bytes(), *disk_bytes);
  }

  const std::string& path_;
  const ApplyOptions& options_;
  std::unique_ptr<block::Device> device_;
  std::string journal_file_;
  ApplyJournal journal_;
  RangeSet earlier_;
  std::unique_ptr<TargetWriter> writer_;
};

// Compares a piece with what the target holds. A range that cannot be read is not held: it is written.
class TargetCheck {
 public:
  explicit TargetCheck(const block::Device* device) : device_(device) {}

  // By content: `piece.plain`, or zeros.
  bool holds_bytes(const Piece& piece) {
    std::uint64_t done = 0;
    return read(piece.range, [&](std::span<const std::uint8_t> found) {
      const bool equal =
          piece.zeros ? all_zero(found) : std::memcmp(found.data(), piece.plain.data() + done, found.size()) == 0;
      done += found.size();
      return equal;
    });
  }

  // By digest, where the plain bytes are not at hand.
  bool holds_digest(Range range, const Digest256& digest) {
    const bool whole = read(range, [&](std::span<const std::uint8_t> found) {
      hasher_.update(found);
      return true;
    });
    return (hasher_.finish() == digest) && whole;
  }

 private:
  template <typename Visit>
  bool read(Range range, Visit visit) {
    if (device_ == nullptr || range.end() > device_->size_bytes()) return false;
    if (!pool_) pool_ = std::make_unique<block::BufferPool>(1, kChunkBytes);
    const auto scratch = pool_->take();
    for (std::uint64_t done = 0; done < range.length_bytes; done += kChunkBytes) {
      const auto found = scratch.first(std::min<std::uint64_t>(kChunkBytes, range.length_bytes - done));
      if (!device_->read(found, range.offset_bytes + done) || !visit(found)) return false;
    }
    return true;
  }

  static constexpr std::size_t kChunkBytes = 1 << 20;
  const block::Device* device_;
  std::unique_ptr<block::BufferPool> pool_;
  Sha256 hasher_;
};

// Decides what is left to do of data or zeros. The journal's word for what an earlier run did is checked: the target
// may have been replaced or written to since.
void settle(Piece& piece, TargetCheck& check, bool done_earlier, bool skip_identical) {
  if (!(done_earlier || skip_identical) || !check.holds_bytes(piece)) return;
  piece.kind = done_earlier ? Piece::Kind::kEarlier : Piece::Kind::kIdentical;
  piece.plain = block::Buffer();
}

// What was applied, kept for the read-back.
class Applied {
 public:
  explicit Applied(bool wanted) : wanted_(wanted) {}

  Result<> add(const Piece& piece) {
    if (!wanted_) return {};
    IndexEntry entry{};
    entry.offset_bytes = piece.range.offset_bytes;
    entry.length_bytes = piece.range.length_bytes;
    entry.sha256 = piece.sha256;
    if (piece.kind != Piece::Kind::kDamaged)
      entry.kind = static_cast<std::uint16_t>(piece.zeros ? EntryKind::kZeros : EntryKind::kData);
    end_bytes_ = piece.range.end();
    return entries_.add(entry);
  }

  // Reads the target back, past the page cache where O_DIRECT is to be had.
  Result<> read_back(const std::string& path, std::uint32_t segment_bytes, const JobOptions& job, ApplyReport& report) {
    block::OpenOptions open;
    open.io = block::IoMode::kDirect;
    auto device = block::Device::open(path, open);
    if (!device) {
      open.io = block::IoMode::kBuffered;
      device = block::Device::open(path, open);
      if (device) posix_fadvise((*device)->buffered_fd(), 0, 0, POSIX_FADV_DONTNEED);
      report.read_back_cached = true;
    }
    if (!device) return tl::unexpected(device.error());
    std::uint64_t next = 0;
    const ExpectedSource expected = [&]() -> Result<std::optional<Expected>> {
      if (next == entries_.count()) return std::nullopt;
      const auto entry = DRSEED_TRY(entries_.at(next++));
      return Expected{{entry.offset_bytes, entry.length_bytes},
                      entry.kind == static_cast<std::uint16_t>(EntryKind::kZeros),
                      entry.kind == 0,
                      entry.sha256};
    };
    report.read_back_bad =
        DRSEED_TRY(compare_disk(**device, end_bytes_, segment_bytes, expected, "read back", job)).bad;
    report.read_back_done = true;
    return {};
  }

 private:
  const bool wanted_;
  EntrySpool entries_;
  std::uint64_t end_bytes_ = 0;
};

// Delivers an image's segments, long runs of zeros in pieces.
class PieceSource {
 public:
  explicit PieceSource(ImageReader& image) : image_(image) {}

  Result<std::optional<StoredSegment>> next() {
    if (zeros_left_.length_bytes == 0) {
      auto segment = DRSEED_TRY(image_.next());
      if (!segment || segment->kind != StoredSegment::Kind::kZeros) return segment;
      zeros_left_ = segment->range;
    }
    StoredSegment piece;
    piece.kind = StoredSegment::Kind::kZeros;
    piece.range = {zeros_left_.offset_bytes, std::min(zeros_left_.length_bytes, kZeroPieceBytes)};
    zeros_left_ = {piece.range.end(), zeros_left_.length_bytes - piece.range.length_bytes};
    return piece;
  }

 private:
  ImageReader& image_;
  Range zeros_left_;
};

class Prover {
 public:
  Prover(block::BufferPool& pool, Target& target, bool skip_identical)
      : pool_(pool), target_(target), check_(target.device()), skip_identical_(skip_identical) {}

  Result<Piece> operator()(StoredSegment segment) {
    Piece piece;
    piece.range = segment.range;
    piece.sha256 = segment.sha256;
    piece.unreadable = std::move(segment.unreadable);
    piece.zeros = segment.kind == StoredSegment::Kind::kZeros;
    const bool done_earlier = target_.done_earlier(piece.range);
    if (segment.kind == StoredSegment::Kind::kDamaged) {
      piece.problem = std::move(segment.problem);
    } else if (piece.zeros) {
      piece.kind = Piece::Kind::kZeros;
      settle(piece, check_, done_earlier, skip_identical_);
    } else if (done_earlier && check_.holds_digest(piece.range, segment.sha256)) {
      piece.kind = Piece::Kind::kEarlier;
    } else {
      DRSEED_TRY(prove(segment, piece));
    }
    return piece;
  }

 private:
  Result<> prove(const StoredSegment& segment, Piece& piece) {
    piece.plain = pool_.take();
    if (!piece.plain) return fail(ErrorCode::kInterrupted, "stopped");
    const auto proven = prover_.prove(segment, piece.plain.first(piece.range.length_bytes));
    if (proven) {
      piece.kind = Piece::Kind::kData;
      piece.container_problem = segment.problem;
      settle(piece, check_, false, skip_identical_);
    } else {
      piece.problem =
          fmt::format("{} (volume {}, byte {})", proven.error().message(), segment.volume, segment.position_bytes);
      piece.plain = block::Buffer();
    }
    return {};
  }

  SegmentProver prover_;
  block::BufferPool& pool_;
  Target& target_;
  TargetCheck check_;
  const bool skip_identical_;
};

Result<> finish_apply(Target& target, Applied& applied, const std::string& path, std::uint32_t segment_bytes,
                      const ApplyOptions& options, ApplyReport& report) {
  DRSEED_TRY(target.writer().finish());
  report.totals = target.writer().totals();
  if (target.device() != nullptr) report.target_bytes = target.device()->size_bytes();
  report.damaged = target.journal().damaged;
  if (options.read_back && target.device() != nullptr)
    DRSEED_TRY(applied.read_back(path, segment_bytes, options.job, report));
  return target.close();
}

}  // namespace

Result<ApplyReport> apply_image(ImageReader& image, const std::string& target_path, const ApplyOptions& options) {
  ApplyReport report;
  report.disk_bytes = image.disk_bytes();
  const auto segment_bytes = image.header().segment_bytes;
  const auto shape = job_shape(options.job, segment_bytes);
  block::BufferPool pool(shape.in_flight + shape.read_ahead, segment_bytes);
  Target target(target_path, options);
  DRSEED_TRY(target.open("image " + to_string(image.header().image_id), image.disk_bytes(), shape.read_ahead));
  image.set_buffers(shape.in_flight + 2);
  PieceSource source(image);
  Applied applied(options.read_back);
  Progress progress("applied", image.disk_bytes(), options.job.progress);
  RateLimit rate(options.job.rate_limit_bytes);
  const auto produce = [&]() -> Result<std::optional<StoredSegment>> {
    auto segment = DRSEED_TRY(source.next());
    if (segment && segment->kind == StoredSegment::Kind::kData) rate.wait_for(segment->range.length_bytes);
    return segment;
  };
  auto result = run_pipeline<StoredSegment, Piece>(
      shape.threads, shape.in_flight, produce, [&] { return Prover(pool, target, options.skip_identical); },
      [&](Piece piece) -> Result<> {
        DRSEED_TRY(applied.add(piece));
        if (!piece.container_problem.empty()) {
          report.problems.push_back(fmt::format("the segment of offset {} proved itself and was applied, but {}",
                                                piece.range.offset_bytes, piece.container_problem));
        }
        if (piece.kind == Piece::Kind::kEarlier) {
          progress.add_earlier(piece.range.length_bytes);
        } else {
          progress.add(piece.range.length_bytes);
        }
        return target.writer().apply(std::move(piece));
      },
      [&] {
        pool.stop();
        image.stop();
      });
  if (!result) {
    target.writer().abandon();
    return tl::unexpected(result.error());
  }
  DRSEED_TRY(finish_apply(target, applied, target_path, segment_bytes, options, report));
  report.problems.insert(report.problems.end(), image.problems().begin(), image.problems().end());
  report.seconds = progress.seconds();
  return report;
}

Result<ApplyReport> apply_foreign(ForeignImage& image, const std::string& identity,
                                  const std::vector<DigestKind>& kinds, const std::string& target_path,
                                  const ApplyOptions& options) {
  ApplyReport report;
  constexpr std::uint32_t kPieceBytes = kSegmentBytesDefault;
  const auto shape = job_shape(options.job, kPieceBytes);
  block::BufferPool pool(2 * shape.in_flight + shape.read_ahead + OrderedDigests::kQueueLength + 1, kPieceBytes);
  Target target(target_path, options);
  DRSEED_TRY(target.open(identity, image.size_bytes, shape.read_ahead));
  Applied applied(options.read_back);
  Progress progress("applied", image.size_bytes.value_or(0), options.job.progress);
  RateLimit rate(options.job.rate_limit_bytes);
  OrderedDigests digests(kinds);
  std::uint64_t offset = 0;

  // Reading is a decompressor's work and the same thread hashes nothing: the digests have threads of their own.
  const auto produce = [&]() -> Result<std::optional<Piece>> {
    Piece piece;
    piece.plain = pool.take();
    if (!piece.plain) return fail(ErrorCode::kInterrupted, "stopped");
    const auto got = DRSEED_TRY(read_full(*image.bytes, piece.plain.first(kPieceBytes)));
    if (got == 0) return std::nullopt;
    rate.wait_for(got);
    piece.range = {offset, got};
    piece.kind = Piece::Kind::kData;
    offset += got;
    if (!kinds.empty()) {
      auto copy = std::make_shared<block::Buffer>(pool.take());
      if (!*copy) return fail(ErrorCode::kInterrupted, "stopped");
      std::memcpy(copy->data(), piece.plain.data(), got);
      digests.add({copy, copy->first(got), 0});
    }
    return piece;
  };
  const auto make_worker = [&] {
    return [&, check = TargetCheck(target.device()), hasher = Sha256()](Piece piece) mutable -> Result<Piece> {
      const auto bytes = piece.plain.first(piece.range.length_bytes);
      piece.zeros = all_zero(bytes);
      if (options.read_back && !piece.zeros) {
        hasher.update(bytes);
        piece.sha256 = hasher.finish();
      }
      if (piece.zeros) piece.kind = Piece::Kind::kZeros;
      settle(piece, check, target.done_earlier(piece.range), options.skip_identical);
      if (piece.kind != Piece::Kind::kData) piece.plain = block::Buffer();
      return piece;
    };
  };
  auto result = run_pipeline<Piece, Piece>(
      shape.threads, shape.in_flight, produce, make_worker,
      [&](Piece piece) -> Result<> {
        DRSEED_TRY(applied.add(piece));
        progress.add(piece.range.length_bytes);
        return target.writer().apply(std::move(piece));
      },
      [&] { pool.stop(); });
  if (!result) {
    target.writer().abandon();
    return tl::unexpected(result.error());
  }
  if (offset == 0) return fail(ErrorCode::kDiffers, "the image is empty: nothing was written");
  report.digests = digests.finish();
  DRSEED_TRY(finish_apply(target, applied, target_path, kPieceBytes, options, report));
  report.disk_bytes = offset;
  report.seconds = progress.seconds();
  return report;
}

}  // namespace drseed::seed
