#include "seed/scanned_volume.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/digest.h"
#include "base/interrupt.h"
#include "seed/segment_framing.h"

namespace drseed::seed {
namespace {

bool is_zero(std::span<const std::uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

std::span<std::uint8_t> writable_bytes(std::string& text) {
  return {reinterpret_cast<std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

Result<std::unique_ptr<ScannedVolume>> ScannedVolume::open(FdSource& source) {
  std::unique_ptr<ScannedVolume> volume(new ScannedVolume(source));
  volume->start_bytes_ = source.position_bytes();
  const auto member = DRSEED_TRY(volume->read_header_block());
  if (!member || member->name != kHeaderName || member->type != TarType::kFile ||
      member->size_bytes > kHeaderBytesMax) {
    return fail(ErrorCode::kDiffers, "{}: does not begin with {}: no drseed image, or its first bytes are damaged",
                source.name(), kHeaderName);
  }
  std::string text(member->size_bytes, '\0');
  const auto got = DRSEED_TRY(read_full(source, writable_bytes(text)));
  if (got != text.size() || !DRSEED_TRY(volume->read_padding(text.size()))) {
    return fail(ErrorCode::kDiffers, "{}: truncated or damaged within {}", source.name(), kHeaderName);
  }
  auto header = decode_header(text);
  if (!header) return fail(header.error().code, "{}: {}", source.name(), header.error().message());
  if (header->created_seconds != member->mtime_seconds)
    volume->problems_.push_back(fmt::format("{}: the times of the header differ", source.name()));
  volume->header_ = std::move(*header);
  volume->header_bytes_ = text.size();
  volume->header_sha256_ = sha256(as_bytes(text));
  volume->cursor_bytes_ = volume->header_.range_offset_bytes;
  volume->good_end_bytes_ = source.position_bytes() - volume->start_bytes_;
  return volume;
}

Result<std::optional<TarMember>> ScannedVolume::read_header_block() {
  TarBlock block;
  const auto got = DRSEED_TRY(read_full(source_, block));
  if (got < block.size()) {
    end_truncated();
    return std::nullopt;
  }
  return decode_tar_header(block);
}

// False where the padding is missing or not zero.
Result<bool> ScannedVolume::read_padding(std::uint64_t content_bytes) {
  TarBlock block;
  const auto padding = std::span(block).first(tar_padding_bytes(content_bytes));
  const auto got = DRSEED_TRY(read_full(source_, padding));
  return got == padding.size() && is_zero(padding);
}

void ScannedVolume::end_truncated() {
  if (finished_) return;
  finished_ = true;
  problems_.push_back(fmt::format("{}: ends at byte {} without a trailer: truncated, or an image that was not finished",
                                  source_.name(), source_.position_bytes()));
  emit_damaged(header_.disk_bytes, "the image ends before it");
}

void ScannedVolume::lose(std::string why) {
  if (lost_.empty()) {
    problems_.push_back(
        fmt::format("{}: at byte {}: {}", source_.name(), source_.position_bytes() - kTarBlockBytes, why));
    lost_ = std::move(why);
  }
}

void ScannedVolume::emit_damaged(std::uint64_t until, std::string why) {
  if (until <= cursor_bytes_) return;
  StoredSegment segment;
  segment.range = {cursor_bytes_, until - cursor_bytes_};
  segment.problem = std::move(why);
  segment.volume = header_.volume;
  ready_.push_back(std::move(segment));
  cursor_bytes_ = until;
}

void ScannedVolume::emit_zeros(std::uint64_t until) {
  if (until <= cursor_bytes_) return;
  StoredSegment segment;
  segment.kind = StoredSegment::Kind::kZeros;
  segment.range = {cursor_bytes_, until - cursor_bytes_};
  segment.volume = header_.volume;
  ready_.push_back(std::move(segment));
  cursor_bytes_ = until;
}

Result<std::optional<StoredSegment>> ScannedVolume::next() {
  while (ready_.empty() && !finished_) {
    DRSEED_TRY(check_interrupt());
    DRSEED_TRY(step());
  }
  if (ready_.empty()) return std::nullopt;
  auto segment = std::move(ready_.front());
  ready_.pop_front();
  return segment;
}

Result<> ScannedVolume::step() {
  const auto member = DRSEED_TRY(read_header_block());
  if (finished_) return {};
  if (!member) {
    lose("a tar header is damaged");
  } else if (member->mtime_seconds != header_.created_seconds) {
    // Of another image: the disk may hold one, and its members are in an uncompressed payload.
    lose(fmt::format("unexpected member '{}'", member->name));
  } else if (member->type == TarType::kPax) {
    return read_segment(*member);
  } else if (member->name == kSumsName) {
    return read_tail(*member);
  } else if (lost_.empty()) {
    lose(fmt::format("unexpected member '{}'", member->name));
  }
  return {};
}

Result<> ScannedVolume::read_segment(const TarMember& pax) {
  const auto damaged = [&](std::string why) -> Result<> {
    lose(std::move(why));
    return {};
  };
  if (pax.size_bytes > kRecordBytesMax) return damaged("a pax header is too large");
  std::string content(pax.size_bytes, '\0');
  if (DRSEED_TRY(read_full(source_, writable_bytes(content))) < content.size()) {
    end_truncated();
    return {};
  }
  const bool padding_good = DRSEED_TRY(read_padding(content.size()));
  const auto text = decode_pax_comment(content);
  const auto record = text ? decode_segment_record(*text) : std::nullopt;
  if (!record || record->image_id != header_.image_id || pax.name != record_name(record->offset_bytes)) {
    return damaged("a segment's record is damaged");
  }
  const auto end = record->offset_bytes + record->length_bytes;
  if (record->length_bytes > header_.segment_bytes || end > header_.disk_bytes ||
      record->offset_bytes % header_.segment_bytes != 0 || record->zeros_from_bytes % header_.segment_bytes != 0 ||
      (record->length_bytes != header_.segment_bytes && end != header_.disk_bytes)) {
    return damaged("a segment does not fit the disk");
  }
  if (record->offset_bytes < cursor_bytes_ || (ordinal_ && record->ordinal < *ordinal_)) {
    return fail(ErrorCode::kDiffers,
                "{}: at byte {}: the segment of offset {} comes after offset {}: the image's members are out of order "
                "or doubled",
                source_.name(), source_.position_bytes(), record->offset_bytes, cursor_bytes_);
  }
  const bool in_sequence = lost_.empty() && padding_good && record->zeros_from_bytes == cursor_bytes_ &&
                           (!ordinal_ || record->ordinal == *ordinal_);
  const auto data_header = encode_tar_header(
      {TarType::kFile, data_name(record->offset_bytes, header_.codec), record->stored_bytes, header_.created_seconds});
  TarBlock block;
  if (DRSEED_TRY(read_full(source_, block)) < block.size()) {
    end_truncated();
    return {};
  }

  StoredSegment segment;
  segment.kind = StoredSegment::Kind::kData;
  segment.range = {record->offset_bytes, record->length_bytes};
  segment.codec = header_.codec;
  segment.sha256 = record->sha256;
  segment.xxh128 = record->xxh128;
  segment.unreadable = record->unreadable;
  segment.volume = header_.volume;
  segment.position_bytes = source_.position_bytes() - start_bytes_;
  if (block != data_header) segment.problem = "the tar header in front of it is damaged";
  if (!padding_good) segment.problem = "the tar padding in front of it is not zero";
  segment.buffer = pool_->take();
  if (!segment.buffer) return fail(ErrorCode::kInterrupted, "stopped");
  segment.stored_bytes = record->stored_bytes;
  if (DRSEED_TRY(read_full(source_, segment.buffer.first(record->stored_bytes))) < record->stored_bytes) {
    end_truncated();
    return {};
  }
  if (!DRSEED_TRY(read_padding(record->stored_bytes)) && segment.problem.empty())
    segment.problem = "the tar padding behind it is not zero";

  emit_damaged(record->zeros_from_bytes, lost_.empty() ? "its members are missing from the image" : lost_);
  if (!in_sequence && lost_.empty())
    problems_.push_back(fmt::format("{}: members are missing before offset {}", source_.name(), record->offset_bytes));
  lost_.clear();
  emit_zeros(record->offset_bytes);
  cursor_bytes_ = end;
  ordinal_ = record->ordinal + 1;
  ready_.push_back(std::move(segment));
  good_end_bytes_ = source_.position_bytes() - start_bytes_;
  return {};
}

Result<bool> ScannedVolume::hash_content(std::uint64_t bytes, Digest256& digest) {
  Sha256 hasher;
  std::vector<std::uint8_t> chunk(1 << 16);
  for (std::uint64_t done = 0; done < bytes;) {
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), bytes - done));
    const auto got = DRSEED_TRY(read_full(source_, std::span(chunk).first(now)));
    if (got < now) return false;
    hasher.update(std::span(chunk).first(now));
    done += now;
  }
  digest = hasher.finish();
  return DRSEED_TRY(read_padding(bytes));
}

Result<bool> ScannedVolume::read_index(std::uint64_t& bytes, Digest256& digest, IndexEntry& last) {
  const auto member = DRSEED_TRY(read_header_block());
  if (!member || member->name != kIndexName || member->size_bytes < sizeof(IndexHeader) ||
      (member->size_bytes - sizeof(IndexHeader)) % sizeof(IndexEntry) != 0) {
    return false;
  }
  bytes = member->size_bytes;
  Sha256 hasher;
  IndexHeader header;
  const std::span<std::uint8_t> header_bytes(reinterpret_cast<std::uint8_t*>(&header), sizeof header);
  if (DRSEED_TRY(read_full(source_, header_bytes)) < header_bytes.size()) return false;
  hasher.update(header_bytes);
  const std::span<std::uint8_t> entry(reinterpret_cast<std::uint8_t*>(&last), sizeof last);
  for (auto left = bytes - sizeof header; left > 0; left -= entry.size()) {
    if (DRSEED_TRY(read_full(source_, entry)) < entry.size()) return false;
    hasher.update(entry);
  }
  digest = hasher.finish();
  return DRSEED_TRY(read_padding(bytes));
}

// What is wrong with the part of the volume behind the data; empty if nothing is. Sets trailer_ where the trailer is
// whole.
Result<std::string> ScannedVolume::read_tail_parts(const TarMember& sums) {
  Digest256 sums_digest{}, index_digest{}, restore_digest{};
  std::uint64_t index_bytes = 0;
  IndexEntry last{};
  const auto data_end = source_.position_bytes() - start_bytes_ - kTarBlockBytes;
  if (!DRSEED_TRY(hash_content(sums.size_bytes, sums_digest))) return std::string("SHA256SUMS is damaged or cut");
  const auto index_position = source_.position_bytes() - start_bytes_ + kTarBlockBytes;
  if (!DRSEED_TRY(read_index(index_bytes, index_digest, last))) return std::string("the index is damaged or cut");
  const auto restore = DRSEED_TRY(read_header_block());
  if (!restore || restore->name != kRestoreName || restore->size_bytes > kRestoreBytesMax ||
      !DRSEED_TRY(hash_content(restore->size_bytes, restore_digest))) {
    return std::string("RESTORE.md is damaged or cut");
  }
  const auto member = DRSEED_TRY(read_header_block());
  if (!member || member->name != kTrailerName || member->size_bytes != kTrailerBytes)
    return std::string("the trailer is missing");
  std::string text(kTrailerBytes, '\0');
  if (DRSEED_TRY(read_full(source_, writable_bytes(text))) < text.size()) return std::string("the trailer is cut");
  auto trailer = decode_trailer(text);
  if (!trailer) return trailer.error().message();
  std::array<std::uint8_t, kTarEndBytes> end;
  const auto end_bytes = DRSEED_TRY(read_full(source_, end));
  const auto& t = *trailer;
  const bool same = t.image_id == header_.image_id && t.volume == header_.volume && t.header_sha256 == header_sha256_ &&
                    t.header_bytes == header_bytes_ && t.sums_sha256 == sums_digest &&
                    t.sums_bytes == sums.size_bytes && t.index_sha256 == index_digest && t.index_bytes == index_bytes &&
                    t.restore_sha256 == restore_digest && t.restore_bytes == restore->size_bytes &&
                    t.data_end_position_bytes == data_end && t.index_position_bytes == index_position &&
                    t.range.offset_bytes == header_.range_offset_bytes && t.disk_bytes == header_.disk_bytes &&
                    t.segment_bytes == header_.segment_bytes && t.codec == header_.codec;
  if (!same) return std::string("the trailer describes other members than those that are here");
  trailer_ = std::move(*trailer);
  const auto& range = trailer_->range;
  // The index is proven now: its last entry says whether the range ends in zeros.
  if (last.kind == static_cast<std::uint16_t>(EntryKind::kZeros) && last.offset_bytes <= range.end() &&
      last.offset_bytes % header_.segment_bytes == 0 && last.end() == range.end()) {
    emit_damaged(last.offset_bytes, "its members are missing from the image");
    emit_zeros(last.end());
  }
  if (end_bytes != end.size() || !is_zero(end)) return std::string("the tar's end is cut or not zero");
  return std::string();
}

Result<> ScannedVolume::read_tail(const TarMember& sums) {
  auto problem = DRSEED_TRY(read_tail_parts(sums));
  finished_ = true;
  if (!problem.empty()) problems_.push_back(fmt::format("{}: {}", source_.name(), problem));
  emit_damaged(trailer_ ? trailer_->range.end() : header_.disk_bytes,
               problem.empty() ? "its members are missing from the image" : problem);
  return {};
}

Result<ImageHeader> read_volume_header(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  FdSource source(std::move(fd), path);
  return DRSEED_TRY(ScannedVolume::open(source))->header();
}

}  // namespace drseed::seed
