#include "seed/indexed_volume.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "base/digest.h"
#include "base/file.h"
#include "base/hex.h"

namespace drseed::seed {
namespace {

constexpr std::uint64_t kChunkEntries = 4096;

constexpr std::uint64_t member_bytes(std::uint64_t content_bytes) {
  return kTarBlockBytes + tar_padded_bytes(content_bytes);
}

std::span<std::uint8_t> writable_bytes(std::string& text) {
  return {reinterpret_cast<std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

Result<std::unique_ptr<IndexedVolume>> IndexedVolume::open(const std::string& path, bool with_payload) {
  std::unique_ptr<IndexedVolume> volume(new IndexedVolume);
  volume->path_ = path;
  volume->with_payload_ = with_payload;
  volume->fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!volume->fd_) return fail_errno(errno, "{}: cannot be opened", path);
  struct stat status {};
  if (fstat(volume->fd_.get(), &status) != 0) return fail_errno(errno, "{}: cannot be examined", path);
  const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
  DRSEED_TRY(volume->read_trailer(file_bytes));
  DRSEED_TRY(volume->check_layout(file_bytes));
  DRSEED_TRY(volume->read_header());
  DRSEED_TRY(volume->check_index());
  posix_fadvise(volume->fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return volume;
}

Result<> IndexedVolume::read_trailer(std::uint64_t file_bytes) {
  constexpr std::uint64_t kTailBytes = kTarBlockBytes + kTrailerBytes + kTarEndBytes;
  if (file_bytes < kTailBytes + kTarBlockBytes) {
    return fail(ErrorCode::kDiffers, "{}: only {} bytes: truncated, or an image that was not finished", path_,
                file_bytes);
  }
  std::string tail(kTailBytes, '\0');
  DRSEED_TRY(pread_exactly(fd_.get(), writable_bytes(tail), file_bytes - kTailBytes, path_));
  TarBlock block;
  std::memcpy(block.data(), tail.data(), block.size());
  const auto member = decode_tar_header(block);
  if (!member || member->name != kTrailerName || member->size_bytes != kTrailerBytes) {
    return fail(ErrorCode::kDiffers,
                "{}: no trailer at byte {}: truncated, damaged at its end, or an image that was not finished (drseed "
                "image --resume)",
                path_, file_bytes - kTailBytes);
  }
  mtime_seconds_ = member->mtime_seconds;
  auto trailer = decode_trailer(std::string_view(tail).substr(kTarBlockBytes, kTrailerBytes));
  if (!trailer) return fail(ErrorCode::kDiffers, "{}: {}", path_, trailer.error().message());
  trailer_ = std::move(*trailer);
  if (!all_of(tail.end() - kTarEndBytes, tail.end(), [](char c) { return c == '\0'; })) {
    problems_.push_back(fmt::format("{}: the tar's end at byte {} is not zero", path_, file_bytes - kTarEndBytes));
  }
  return {};
}

// The trailer determines where everything is; a file of another length was cut or added to.
Result<> IndexedVolume::check_layout(std::uint64_t file_bytes) const {
  const auto& t = *trailer_;
  const bool within = t.data_end_position_bytes <= file_bytes && t.sums_bytes <= file_bytes &&
                      t.index_bytes <= file_bytes && t.index_position_bytes <= file_bytes &&
                      member_bytes(t.header_bytes) <= t.data_end_position_bytes;
  const auto index_position = t.data_end_position_bytes + member_bytes(t.sums_bytes) + kTarBlockBytes;
  const auto expected_bytes = index_position + tar_padded_bytes(t.index_bytes) + member_bytes(t.restore_bytes) +
                              member_bytes(kTrailerBytes) + kTarEndBytes;
  if (!within || t.index_position_bytes != index_position || expected_bytes != file_bytes) {
    return fail(ErrorCode::kDiffers, "{}: {} bytes, but its trailer describes {}: bytes are missing or were put in",
                path_, file_bytes, within ? expected_bytes : 0);
  }
  return {};
}

Result<> IndexedVolume::read_header() {
  std::string text(trailer_->header_bytes, '\0');
  DRSEED_TRY(pread_exactly(fd_.get(), writable_bytes(text), kTarBlockBytes, path_));
  auto header = decode_header(text);
  if (header && sha256(as_bytes(text)) == trailer_->header_sha256 && header->image_id == trailer_->image_id &&
      header->disk_bytes == trailer_->disk_bytes && header->segment_bytes == trailer_->segment_bytes &&
      header->codec == trailer_->codec && header->volume == trailer_->volume &&
      header->range_offset_bytes == trailer_->range.offset_bytes) {
    header_ = std::move(*header);
    return {};
  }
  problems_.push_back(fmt::format("{}: {} is damaged: {}", path_, kHeaderName,
                                  header ? "not the one that the trailer describes" : header.error().message()));
  // What reading needs is in the trailer too.
  header_.image_id = trailer_->image_id;
  header_.created_seconds = mtime_seconds_;
  header_.disk_bytes = trailer_->disk_bytes;
  header_.segment_bytes = trailer_->segment_bytes;
  header_.codec = trailer_->codec;
  header_.volume = trailer_->volume;
  header_.range_offset_bytes = trailer_->range.offset_bytes;
  return {};
}

Result<> IndexedVolume::check_index() {
  const auto& t = *trailer_;
  IndexHeader raw{};
  const std::span<std::uint8_t> raw_bytes(reinterpret_cast<std::uint8_t*>(&raw), sizeof raw);
  if (t.index_bytes < sizeof raw) return fail(ErrorCode::kDiffers, "{}: index of {} bytes", path_, t.index_bytes);
  DRSEED_TRY(pread_exactly(fd_.get(), raw_bytes, t.index_position_bytes, path_));
  const auto index = decode_index_header(raw_bytes);
  if (!index) return fail(ErrorCode::kDiffers, "{}: {}", path_, index.error().message());
  entry_count_ = index->entry_count;
  if (entry_count_ > t.index_bytes / sizeof(IndexEntry) ||
      t.index_bytes != sizeof raw + entry_count_ * sizeof(IndexEntry) || index->image_id != t.image_id.bytes ||
      index->volume != t.volume || index->range_offset_bytes != t.range.offset_bytes) {
    return fail(ErrorCode::kDiffers, "{}: the index is not the one that the trailer describes", path_);
  }

  Sha256 hasher;
  hasher.update(raw_bytes);
  const auto data_begin = member_bytes(t.header_bytes);
  bounds_ = {t.range, t.disk_bytes, t.segment_bytes, t.data_end_position_bytes};
  std::uint64_t offset = t.range.offset_bytes;
  std::uint64_t data_segments = 0;
  for (std::uint64_t number = 0; number < entry_count_; ++number) {
    const auto entry = DRSEED_TRY(entry_at(number));
    hasher.update(bytes_of(entry));
    auto checked = check_index_entry(entry, offset, bounds_);
    if (!checked) return fail(ErrorCode::kDiffers, "{}: {}", path_, checked.error().message());
    if (entry.is_data() && entry.position_bytes < data_begin)
      return fail(ErrorCode::kDiffers, "{}: index: a position before the data", path_);
    data_segments += entry.is_data() ? 1 : 0;
    offset = entry.end();
  }
  if (hasher.finish() != t.index_sha256)
    return fail(ErrorCode::kDiffers, "{}: the index is damaged: it does not match its SHA-256 in the trailer", path_);
  if (offset != t.range.end() || data_segments != t.data_segments) {
    return fail(ErrorCode::kDiffers, "{}: the index ends at offset {}, expected {}", path_, offset, t.range.end());
  }
  cursor_bytes_ = t.range.offset_bytes;
  ordinal_ = t.first_ordinal;
  zeros_from_bytes_ = t.range.offset_bytes;
  position_bytes_ = data_begin;
  return {};
}

Result<IndexEntry> IndexedVolume::entry_at(std::uint64_t number) {
  if (number < chunk_first_ || number >= chunk_first_ + chunk_.size()) {
    chunk_first_ = number;
    chunk_.resize(std::min(kChunkEntries, entry_count_ - number));
    const auto position = trailer_->index_position_bytes + sizeof(IndexHeader) + number * sizeof(IndexEntry);
    DRSEED_TRY(pread_exactly(fd_.get(),
                             {reinterpret_cast<std::uint8_t*>(chunk_.data()), chunk_.size() * sizeof(IndexEntry)},
                             position, path_));
  }
  return chunk_[number - chunk_first_];
}

Result<std::optional<StoredSegment>> IndexedVolume::next() {
  if (next_entry_ == entry_count_) return std::nullopt;
  const auto entry = DRSEED_TRY(entry_at(next_entry_++));
  // Checked already, but read a second time: a file in change or a failing disk must not lead out of a buffer.
  auto checked = check_index_entry(entry, cursor_bytes_, bounds_);
  if (!checked) return fail(ErrorCode::kDiffers, "{}: has changed: {}", path_, checked.error().message());
  cursor_bytes_ = entry.end();
  if (entry.is_data()) return DRSEED_TRY(read_segment(entry));
  StoredSegment zeros;
  zeros.kind = StoredSegment::Kind::kZeros;
  zeros.range = {entry.offset_bytes, entry.length_bytes};
  zeros.volume = trailer_->volume;
  return zeros;
}

Result<StoredSegment> IndexedVolume::read_segment(const IndexEntry& entry) {
  StoredSegment segment;
  segment.kind = StoredSegment::Kind::kData;
  segment.range = {entry.offset_bytes, entry.length_bytes};
  segment.codec = trailer_->codec;
  segment.sha256 = entry.sha256;
  segment.xxh128 = entry.xxh128;
  segment.volume = trailer_->volume;
  segment.position_bytes = entry.position_bytes;
  if (with_payload_) {
    DRSEED_TRY(read_framed(entry, segment));
  } else if ((entry.flags & kEntryHasUnreadable) != 0) {
    auto record = read_record(entry);
    if (record) {
      segment.unreadable = std::move(record->unreadable);
    } else {
      segment.problem = record.error().message();
    }
  }
  ++ordinal_;
  zeros_from_bytes_ = entry.end();
  return segment;
}

// The record of a segment with unreadable sectors is of a length that the index does not know.
Result<SegmentRecord> IndexedVolume::read_record(const IndexEntry& entry) {
  std::string block(kTarBlockBytes, '\0');
  DRSEED_TRY(pread_exactly(fd_.get(), writable_bytes(block), entry.position_bytes, path_));
  const auto member = decode_tar_header(std::span<const std::uint8_t, kTarBlockBytes>(writable_bytes(block)));
  if (!member || member->type != TarType::kPax || member->size_bytes > kRecordBytesMax)
    return fail(ErrorCode::kDiffers, "its pax header is damaged");
  std::string content(member->size_bytes, '\0');
  DRSEED_TRY(pread_exactly(fd_.get(), writable_bytes(content), entry.position_bytes + kTarBlockBytes, path_));
  const auto text = decode_pax_comment(content);
  auto record = text ? decode_segment_record(*text) : std::nullopt;
  const bool same = record && record->image_id == trailer_->image_id && record->offset_bytes == entry.offset_bytes &&
                    record->length_bytes == entry.length_bytes;
  if (!same) return fail(ErrorCode::kDiffers, "its record is damaged");
  return std::move(*record);
}

Result<> IndexedVolume::read_framed(const IndexEntry& entry, StoredSegment& segment) {
  SegmentRecord expected{trailer_->image_id,
                         ordinal_,
                         entry.offset_bytes,
                         static_cast<std::uint32_t>(entry.length_bytes),
                         entry.stored_bytes,
                         zeros_from_bytes_,
                         entry.sha256,
                         entry.xxh128,
                         {}};
  if ((entry.flags & kEntryHasUnreadable) != 0) {
    auto record = read_record(entry);
    if (record) {
      segment.unreadable = expected.unreadable = std::move(record->unreadable);
    } else {
      segment.problem = record.error().message();
    }
  }
  const auto front = segment_front(expected, trailer_->codec, mtime_seconds_);
  const auto region_bytes = front.size() + tar_padded_bytes(entry.stored_bytes);
  if (entry.position_bytes > trailer_->data_end_position_bytes ||
      region_bytes > trailer_->data_end_position_bytes - entry.position_bytes) {
    segment.kind = StoredSegment::Kind::kDamaged;
    segment.problem = "its members leave the data";
    return {};
  }
  segment.buffer = pool_->take();
  if (!segment.buffer) return fail(ErrorCode::kInterrupted, "stopped");
  assert(region_bytes <= segment.buffer.capacity());
  auto region = segment.buffer.first(region_bytes);
  if (auto read = pread_exactly(fd_.get(), region, entry.position_bytes, path_); !read) {
    // A bad sector of the medium: the rest of the image is still good.
    segment.kind = StoredSegment::Kind::kDamaged;
    segment.problem = read.error().message();
    return {};
  }
  segment.position_bytes += front.size();
  segment.stored_at = front.size();
  segment.stored_bytes = entry.stored_bytes;
  const auto padding = region.subspan(front.size() + entry.stored_bytes);
  if (entry.position_bytes != position_bytes_)
    segment.problem =
        fmt::format("its members are at byte {}, expected {}", std::uint64_t{entry.position_bytes}, position_bytes_);
  if (std::memcmp(front.data(), region.data(), front.size()) != 0 && segment.problem.empty())
    segment.problem = "the tar headers in front of it are damaged";
  if (!all_of(padding.begin(), padding.end(), [](std::uint8_t byte) { return byte == 0; }))
    segment.problem = "the tar padding behind it is not zero";
  position_bytes_ = entry.position_bytes + region_bytes;
  return {};
}

Result<> IndexedVolume::check_bytes(std::uint64_t position, std::string_view expected, std::string_view what) {
  std::string found(expected.size(), '\0');
  DRSEED_TRY(pread_exactly(fd_.get(), writable_bytes(found), position, path_));
  if (found != expected) problems_.push_back(fmt::format("{}: {} at byte {} is damaged", path_, what, position));
  return {};
}

Result<> IndexedVolume::check_member(const TarMember& member, std::uint64_t position, const Digest256& digest) {
  DRSEED_TRY(
      check_bytes(position, as_text(encode_tar_header(member)), fmt::format("the tar header of {}", member.name)));
  const auto begin = position + kTarBlockBytes;
  Sha256 hasher;
  std::vector<std::uint8_t> chunk(1 << 20);
  for (std::uint64_t done = 0; done < member.size_bytes;) {
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), member.size_bytes - done));
    DRSEED_TRY(pread_exactly(fd_.get(), std::span(chunk).first(now), begin + done, path_));
    hasher.update(std::span(chunk).first(now));
    done += now;
  }
  if (hasher.finish() != digest)
    problems_.push_back(fmt::format("{}: {} at byte {} is damaged", path_, member.name, begin));
  return check_bytes(begin + member.size_bytes, std::string(tar_padding_bytes(member.size_bytes), '\0'),
                     fmt::format("the padding of {}", member.name));
}

Result<> IndexedVolume::check_metadata() {
  const auto& t = *trailer_;
  const auto file = [&](std::string_view name, std::uint64_t bytes) {
    return TarMember{TarType::kFile, std::string(name), bytes, mtime_seconds_};
  };
  DRSEED_TRY(check_member(file(kHeaderName, t.header_bytes), 0, t.header_sha256));
  DRSEED_TRY(check_member(file(kSumsName, t.sums_bytes), t.data_end_position_bytes, t.sums_sha256));
  DRSEED_TRY(check_member(file(kIndexName, t.index_bytes), t.index_position_bytes - kTarBlockBytes, t.index_sha256));
  const auto restore_at = t.index_position_bytes + tar_padded_bytes(t.index_bytes);
  DRSEED_TRY(check_member(file(kRestoreName, t.restore_bytes), restore_at, t.restore_sha256));
  if (with_payload_ && position_bytes_ != t.data_end_position_bytes) {
    problems_.push_back(fmt::format("{}: {} bytes at byte {} belong to no segment", path_,
                                    t.data_end_position_bytes - position_bytes_, position_bytes_));
  }
  return {};
}

}  // namespace drseed::seed
