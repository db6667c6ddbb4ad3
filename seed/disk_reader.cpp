#include "seed/disk_reader.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "base/interrupt.h"

namespace drseed::seed {

Result<std::unique_ptr<DiskReader>> DiskReader::open(block::Device& device, block::BufferPool& pool,
                                                     const Options& options) {
  assert(options.range.length_bytes == 0 || options.range.offset_bytes % options.segment_bytes == 0);
  assert(options.read_ahead > 0);
  std::unique_ptr<DiskReader> reader(new DiskReader(device, pool, options));
  reader->queue_ = DRSEED_TRY(block::make_io_queue(device, options.read_ahead));
  return reader;
}

DiskReader::DiskReader(block::Device& device, block::BufferPool& pool, const Options& options)
    : device_(device), pool_(pool), options_(options), next_offset_(options.range.offset_bytes) {}

// The end of the hole at an offset, in whole segments; the offset itself if there is none.
std::uint64_t DiskReader::hole_end(std::uint64_t offset) {
  const auto end = options_.range.end();
  if (!data_ || data_->end() <= offset) {
    data_ = device_.next_data(offset);
    if (!data_) data_ = block::Extent{end, UINT64_MAX - end};
  }
  if (data_->offset_bytes <= offset) return offset;
  if (data_->offset_bytes >= end) return end;
  return offset + (data_->offset_bytes - offset) / options_.segment_bytes * options_.segment_bytes;
}

Result<> DiskReader::read_ahead() {
  const auto end = options_.range.end();
  while (pending_.size() < options_.read_ahead && next_offset_ < end) {
    Pending pending;
    const auto hole = std::min(hole_end(next_offset_), next_offset_ + options_.hole_bytes_max);
    if (hole > next_offset_) {
      pending.segment.range = {next_offset_, hole - next_offset_};
      pending.done = true;
    } else {
      // Wait for a buffer only if nothing else can be handed out.
      pending.segment.buffer = pending_.empty() ? pool_.take() : pool_.try_take();
      if (!pending.segment.buffer) {
        if (!pending_.empty()) return {};
        return fail(ErrorCode::kInterrupted, "stopped");
      }
      const auto length = std::min<std::uint64_t>(options_.segment_bytes, end - next_offset_);
      pending.segment.range = {next_offset_, length};
      queue_->submit({block::IoKind::kRead, pending.segment.buffer.data(), static_cast<std::uint32_t>(length),
                      next_offset_, first_tag_ + pending_.size()});
    }
    next_offset_ = pending.segment.range.end();
    pending_.push_back(std::move(pending));
  }
  return {};
}

Result<std::optional<PlainSegment>> DiskReader::next() {
  DRSEED_TRY(read_ahead());
  if (pending_.empty()) return std::nullopt;
  while (!pending_.front().done) {
    const auto completion = queue_->wait();
    auto& pending = pending_[completion.tag - first_tag_];
    pending.done = true;
    pending.segment.read_errno = completion.system_errno;
  }
  auto segment = std::move(pending_.front().segment);
  pending_.pop_front();
  ++first_tag_;
  return segment;
}

namespace {

void add_unreadable(std::vector<Range>& ranges, Range range) {
  if (!ranges.empty() && (ranges.back().end() == range.offset_bytes || ranges.size() == kUnreadableRangesMax)) {
    ranges.back().length_bytes = range.end() - ranges.back().offset_bytes;
  } else {
    ranges.push_back(range);
  }
}

}  // namespace

Result<> salvage(const block::Device& device, PlainSegment& segment, bool all) {
  constexpr std::uint64_t kPieceBytes = 64 << 10;
  // Below a page the page cache reads the page anyway.
  const std::uint64_t sector =
      std::max({device.physical_sector_bytes(), device.logical_sector_bytes(), std::uint32_t{4096}});
  const auto read = [&](Range range) {
    return device
        .read(segment.buffer.first(segment.range.length_bytes)
                  .subspan(range.offset_bytes - segment.range.offset_bytes, range.length_bytes),
              range.offset_bytes)
        .has_value();
  };
  for (auto piece = segment.range.offset_bytes; piece < segment.range.end(); piece += kPieceBytes) {
    const auto piece_end = std::min(piece + kPieceBytes, segment.range.end());
    if (read({piece, piece_end - piece})) continue;
    for (auto at = piece; at < piece_end && (all || segment.unreadable.empty()); at += sector) {
      DRSEED_TRY(check_interrupt());
      const Range range{at, std::min(sector, piece_end - at)};
      if (!read(range)) add_unreadable(segment.unreadable, range);
    }
  }
  // Where ranges were merged outward, sectors that could be read are given up with the rest: what is listed is zero.
  for (const auto& range : segment.unreadable) {
    std::memset(segment.buffer.data() + (range.offset_bytes - segment.range.offset_bytes), 0, range.length_bytes);
  }
  segment.read_errno = 0;
  return {};
}

}  // namespace drseed::seed
