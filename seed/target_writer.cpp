#include "seed/target_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>

#include "base/file.h"
#include "base/log.h"

namespace drseed::seed {
namespace {

constexpr std::chrono::seconds kCheckpointEvery{3};
constexpr const char* kUnreadable = "the source could not read it when it was imaged";

class DeviceWriter : public TargetWriter {
 public:
  DeviceWriter(block::Device& device, ApplyJournal& journal, const DeviceWriterOptions& options)
      : device_(device), journal_(journal), options_(options) {}

  Result<> open() {
    queue_ = DRSEED_TRY(block::make_io_queue(device_, options_.depth));
    completed_ = journal_.done;
    return save();
  }

  Result<> apply(Piece piece) override {
    const auto range = piece.range;
    for (const auto& bad : piece.unreadable) add_bad(journal_.damaged, {bad, kUnreadable});
    switch (piece.kind) {
      case Piece::Kind::kData:
        totals_.written_bytes += range.length_bytes;
        DRSEED_TRY(write(std::move(piece)));
        break;
      case Piece::Kind::kZeros:
        totals_.zeroed_bytes += range.length_bytes;
        DRSEED_TRY(zero(range));
        break;
      case Piece::Kind::kIdentical:
        totals_.identical_bytes += range.length_bytes;
        completed_.add(range);
        break;
      case Piece::Kind::kEarlier:
        totals_.earlier_bytes += range.length_bytes;
        break;
      case Piece::Kind::kDamaged:
        add_bad(journal_.damaged, {range, std::move(piece.problem)});
        break;
    }
    return checkpoint_if_due();
  }

  Result<> finish() override {
    while (queue_->in_flight() > 0) DRSEED_TRY(reap());
    DRSEED_TRY(device_.flush());
    journal_.done = completed_;
    return save();
  }

  void abandon() override {
    if (options_.journal_path.empty()) return;
    const auto saved = finish();
    if (!saved) log::warn("{}", saved.error().message());
  }

 private:
  struct InFlight {
    block::Buffer buffer;
    Range range;
  };

  Result<> make_room(std::uint64_t end_bytes) {
    if (end_bytes <= device_.size_bytes()) return {};
    if (device_.kind() == block::Kind::kRegularFile) return device_.grow(end_bytes);
    return fail(ErrorCode::kDiffers, "{}: has {} bytes, the image is larger; nothing was written past its end",
                device_.path(), device_.size_bytes());
  }

  Result<> write(Piece piece) {
    DRSEED_TRY(make_room(piece.range.end()));
    if (queue_->in_flight() == queue_->depth()) DRSEED_TRY(reap());
    const auto tag = piece.range.offset_bytes;
    auto& slot = in_flight_[tag] = {std::move(piece.plain), piece.range};
    queue_->submit(
        {block::IoKind::kWrite, slot.buffer.data(), static_cast<std::uint32_t>(slot.range.length_bytes), tag, tag});
    return {};
  }

  Result<> zero(Range range) {
    DRSEED_TRY(make_room(range.end()));
    if (range.offset_bytes < options_.zero_from_bytes)
      DRSEED_TRY(device_.zero({range.offset_bytes, range.length_bytes}));
    completed_.add(range);
    return {};
  }

  Result<> reap() {
    const auto completion = queue_->wait();
    const auto node = in_flight_.extract(completion.tag);
    if (completion.system_errno != 0) {
      return fail_errno(completion.system_errno, "{}: cannot be written at offset {}", device_.path(), completion.tag);
    }
    completed_.add(node.mapped().range);
    return {};
  }

  Result<> checkpoint_if_due() {
    if (options_.journal_path.empty() || std::chrono::steady_clock::now() - last_checkpoint_ < kCheckpointEvery)
      return {};
    DRSEED_TRY(finish());
    last_checkpoint_ = std::chrono::steady_clock::now();
    return {};
  }

  Result<> save() { return options_.journal_path.empty() ? Result<>{} : save_journal(options_.journal_path, journal_); }

  block::Device& device_;
  ApplyJournal& journal_;
  const DeviceWriterOptions options_;
  std::map<std::uint64_t, InFlight> in_flight_;
  std::unique_ptr<block::IoQueue> queue_;  // destroyed first: it waits for writes from in_flight_
  RangeSet completed_;                     // written, not all of it flushed
  std::chrono::steady_clock::time_point last_checkpoint_ = std::chrono::steady_clock::now();
};

class PipeWriter : public TargetWriter {
 public:
  PipeWriter(UniqueFd fd, std::vector<BadRange>& damaged) : fd_(std::move(fd)), damaged_(damaged) {}

  Result<> apply(Piece piece) override {
    for (const auto& bad : piece.unreadable) add_bad(damaged_, {bad, kUnreadable});
    if (piece.kind == Piece::Kind::kData) {
      totals_.written_bytes += piece.range.length_bytes;
      return write_all(fd_.get(), piece.plain.first(piece.range.length_bytes), "-");
    }
    if (piece.kind == Piece::Kind::kDamaged) add_bad(damaged_, {piece.range, std::move(piece.problem)});
    totals_.zeroed_bytes += piece.range.length_bytes;
    return write_zeros(piece.range.length_bytes);
  }

  Result<> finish() override {
    const bool flushed = fsync(fd_.get()) == 0 || errno == EINVAL || errno == EROFS;  // a pipe cannot be flushed
    if (!flushed) return fail_errno(errno, "-: cannot be flushed: the disk is not safe");
    if (close(fd_.release()) != 0) return fail_errno(errno, "-: cannot be closed");
    return {};
  }

  void abandon() override {}

 private:
  Result<> write_zeros(std::uint64_t length) {
    static const std::vector<std::uint8_t> zeros(1 << 20);
    while (length > 0) {
      const auto now = std::min<std::uint64_t>(length, zeros.size());
      DRSEED_TRY(write_all(fd_.get(), std::span(zeros).first(now), "-"));
      length -= now;
    }
    return {};
  }

  UniqueFd fd_;
  std::vector<BadRange>& damaged_;
};

}  // namespace

Result<std::unique_ptr<TargetWriter>> open_device_writer(block::Device& device, ApplyJournal& journal,
                                                         const DeviceWriterOptions& options) {
  auto writer = std::make_unique<DeviceWriter>(device, journal, options);
  DRSEED_TRY(writer->open());
  return writer;
}

std::unique_ptr<TargetWriter> open_pipe_writer(UniqueFd fd, std::vector<BadRange>& damaged) {
  return std::make_unique<PipeWriter>(std::move(fd), damaged);
}

}  // namespace drseed::seed
