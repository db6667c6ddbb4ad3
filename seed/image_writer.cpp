#include "seed/image_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/hex.h"
#include "seed/restore_text.h"
#include "seed/scanned_volume.h"
#include "seed/segment_framing.h"

namespace drseed::seed {
namespace {

std::string sums_line(const IndexEntry& entry) {
  return fmt::format("{}  {}\n", to_hex(entry.sha256), data_name(entry.offset_bytes, Codec::kNone));
}

constexpr std::uint64_t member_bytes(std::uint64_t content_bytes) {
  return kTarBlockBytes + tar_padded_bytes(content_bytes);
}

// Writes many small pieces as few large ones, and hashes them.
class HashingWriter {
 public:
  explicit HashingWriter(VolumeOutput& output) : output_(output) {}
  Result<> add(std::span<const std::uint8_t> bytes) {
    buffer_.append(as_text(bytes));
    return buffer_.size() >= kFlushBytes ? flush() : Result<>{};
  }
  Result<Sha256Digest> finish() {
    DRSEED_TRY(flush());
    return hasher_.finish();
  }

 private:
  static constexpr std::size_t kFlushBytes = 1 << 20;
  Result<> flush() {
    hasher_.update(as_bytes(buffer_));
    auto result = output_.write({as_bytes(buffer_)});
    buffer_.clear();
    return result;
  }
  VolumeOutput& output_;
  std::string buffer_;
  Sha256 hasher_;
};

}  // namespace

std::string volume_path(const std::string& image_path, std::uint64_t volume_bytes, std::uint32_t volume) {
  return volume_bytes == 0 ? image_path : fmt::format("{}.{:03}", image_path, volume);
}

std::uint64_t ImageWriter::volume_bytes_min(const ImageHeader& header) {
  const ImageWriter writer(header, "");
  return member_bytes(encode_header(header).size() + 64) + 2 * kTarBlockBytes + tar_padded_bytes(kRecordBytesMax) +
         tar_padded_bytes(stored_bytes_max(header.segment_bytes)) + writer.tail_bytes(1, 3);
}

ImageWriter::ImageWriter(ImageHeader header, std::string path)
    : header_(std::move(header)),
      path_(std::move(path)),
      restore_(restore_text(header_)),
      image_merkle_(header_.segment_bytes) {}

Result<std::unique_ptr<ImageWriter>> ImageWriter::create(ImageHeader header, std::string path) {
  std::unique_ptr<ImageWriter> writer(new ImageWriter(std::move(header), std::move(path)));
  DRSEED_TRY(writer->begin_volume());
  return writer;
}

Result<std::unique_ptr<ImageWriter>> ImageWriter::to_pipe(ImageHeader header, UniqueFd fd) {
  assert(header.volume_bytes == 0);
  std::unique_ptr<ImageWriter> writer(new ImageWriter(std::move(header), "-"));
  writer->output_ = VolumeOutput::to_descriptor(std::move(fd), "-");
  DRSEED_TRY(writer->begin_volume());
  return writer;
}

Result<std::unique_ptr<ImageWriter>> ImageWriter::replay(ImageHeader header, std::string path) {
  std::unique_ptr<ImageWriter> writer(new ImageWriter(std::move(header), std::move(path)));
  writer->live_ = false;
  DRSEED_TRY(writer->begin_volume());
  return writer;
}

Result<> ImageWriter::go_live() {
  assert(!live_);
  live_ = true;
  return output_->go_live();
}

TarMember ImageWriter::member(std::string_view name, std::uint64_t size_bytes) const {
  return {TarType::kFile, std::string(name), size_bytes, header_.created_seconds};
}

std::uint64_t ImageWriter::tail_bytes(std::uint64_t data_segments, std::uint64_t entries) const {
  return member_bytes(data_segments * kSumsLineBytes) +
         member_bytes(sizeof(IndexHeader) + entries * sizeof(IndexEntry)) + member_bytes(restore_.size()) +
         member_bytes(kTrailerBytes) + kTarEndBytes;
}

// Only what this very image left there, in an interrupted run, may be written over: a volume with its header, or less
// than one.
Result<> ImageWriter::check_replaceable(const std::string& path, std::string_view front) const {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return {};
  const auto header = read_volume_header(path);
  if (header && header->image_id == header_.image_id) return {};
  const auto torn = read_file(path, front.size());
  if (torn && front.starts_with(*torn)) return {};
  return fail(ErrorCode::kRefused, "{}: exists and is not of this image; move it away, then --resume", path);
}

Result<> ImageWriter::begin_volume() {
  header_.range_offset_bytes = cursor_bytes_;
  zeros_from_bytes_ = cursor_bytes_;
  const auto text = encode_header(header_);
  if (!output_) {
    const auto path = volume_path(path_, header_.volume_bytes, header_.volume);
    if (live_) {
      std::string front(as_text(encode_tar_header(member(kHeaderName, text.size()))));
      front += text;
      front.append(tar_padding_bytes(text.size()), '\0');
      DRSEED_TRY(check_replaceable(path, front));
      output_.emplace(DRSEED_TRY(VolumeOutput::create(path)));
    } else {
      output_.emplace(VolumeOutput::replay(path));
    }
  }
  trailer_ = {};
  trailer_.image_id = header_.image_id;
  trailer_.disk_bytes = header_.disk_bytes;
  trailer_.segment_bytes = header_.segment_bytes;
  trailer_.codec = header_.codec;
  trailer_.volume = header_.volume;
  trailer_.range.offset_bytes = cursor_bytes_;
  trailer_.first_ordinal = ordinal_;
  trailer_.header_bytes = text.size();
  trailer_.header_sha256 = sha256(as_bytes(text));
  volume_merkle_ = std::make_unique<SegmentMerkle>(header_.segment_bytes);
  return output_->write_member(member(kHeaderName, text.size()), text);
}

Result<> ImageWriter::add_zeros(std::uint64_t length_bytes) {
  image_merkle_.add_zeros(length_bytes);
  volume_merkle_->add_zeros(length_bytes);
  cursor_bytes_ += length_bytes;
  return {};
}

Result<> ImageWriter::flush_zeros() {
  if (zeros_from_bytes_ == cursor_bytes_) return {};
  IndexEntry entry{};
  entry.offset_bytes = zeros_from_bytes_;
  entry.length_bytes = cursor_bytes_ - zeros_from_bytes_;
  entry.kind = static_cast<std::uint16_t>(EntryKind::kZeros);
  zeros_from_bytes_ = cursor_bytes_;
  return entries_.add(entry);
}

Result<> ImageWriter::add_data(const FinishedSegment& segment) {
  SegmentRecord record{header_.image_id,
                       ordinal_,
                       cursor_bytes_,
                       segment.length_bytes,
                       static_cast<std::uint32_t>(segment.stored.size()),
                       zeros_from_bytes_,
                       segment.sha256,
                       segment.xxh128,
                       segment.unreadable};
  auto front = segment_front(record, header_.codec, header_.created_seconds);
  const auto end = output_->position_bytes() + front.size() + tar_padded_bytes(record.stored_bytes) +
                   tail_bytes(entries_.data_count() + 1, entries_.count() + 3);
  if (header_.volume_bytes != 0 && end > header_.volume_bytes && entries_.data_count() > 0) {
    DRSEED_TRY(end_volume(false));
    ++header_.volume;
    DRSEED_TRY(begin_volume());
    record.zeros_from_bytes = cursor_bytes_;
    front = segment_front(record, header_.codec, header_.created_seconds);
  }
  DRSEED_TRY(flush_zeros());

  IndexEntry entry{};
  entry.offset_bytes = cursor_bytes_;
  entry.length_bytes = record.length_bytes;
  entry.position_bytes = output_->position_bytes();
  entry.stored_bytes = record.stored_bytes;
  entry.kind = static_cast<std::uint16_t>(EntryKind::kData);
  entry.flags = record.unreadable.empty() ? std::uint16_t{0} : kEntryHasUnreadable;
  entry.sha256 = record.sha256;
  entry.xxh128 = record.xxh128;
  DRSEED_TRY(entries_.add(entry));

  static const TarBlock padding{};
  DRSEED_TRY(output_->write(
      {as_bytes(front), segment.stored, std::span(padding).first(tar_padding_bytes(record.stored_bytes))}));

  image_merkle_.add_data(record.sha256);
  volume_merkle_->add_data(record.sha256);
  ++ordinal_;
  ++trailer_.data_segments;
  trailer_.data_bytes += record.length_bytes;
  trailer_.stored_bytes += record.stored_bytes;
  for (const auto& range : record.unreadable) trailer_.unreadable_bytes += range.length_bytes;
  cursor_bytes_ += record.length_bytes;
  zeros_from_bytes_ = cursor_bytes_;
  return {};
}

Result<> ImageWriter::write_sums() {
  trailer_.sums_bytes = entries_.data_count() * kSumsLineBytes;
  DRSEED_TRY(output_->write_header(member(kSumsName, trailer_.sums_bytes)));
  HashingWriter writer(*output_);
  DRSEED_TRY(entries_.for_each(
      [&](const IndexEntry& entry) { return entry.is_data() ? writer.add(as_bytes(sums_line(entry))) : Result<>{}; }));
  trailer_.sums_sha256 = DRSEED_TRY(writer.finish());
  return output_->write_padding(trailer_.sums_bytes);
}

Result<> ImageWriter::write_index() {
  trailer_.index_bytes = sizeof(IndexHeader) + entries_.count() * sizeof(IndexEntry);
  DRSEED_TRY(output_->write_header(member(kIndexName, trailer_.index_bytes)));
  trailer_.index_position_bytes = output_->position_bytes();
  const auto header =
      make_index_header(header_.image_id, header_.volume, trailer_.range.offset_bytes, entries_.count());
  HashingWriter writer(*output_);
  DRSEED_TRY(writer.add({reinterpret_cast<const std::uint8_t*>(&header), sizeof header}));
  DRSEED_TRY(entries_.for_each([&](const IndexEntry& entry) { return writer.add(bytes_of(entry)); }));
  trailer_.index_sha256 = DRSEED_TRY(writer.finish());
  return output_->write_padding(trailer_.index_bytes);
}

Result<> ImageWriter::end_volume(bool last) {
  DRSEED_TRY(flush_zeros());
  trailer_.range.length_bytes = cursor_bytes_ - trailer_.range.offset_bytes;
  trailer_.data_end_position_bytes = output_->position_bytes();
  DRSEED_TRY(write_sums());
  DRSEED_TRY(write_index());
  trailer_.restore_bytes = restore_.size();
  trailer_.restore_sha256 = sha256(as_bytes(restore_));
  DRSEED_TRY(output_->write_member(member(kRestoreName, restore_.size()), restore_));
  trailer_.last = last;
  trailer_.volumes = last ? header_.volume : 0;
  trailer_.merkle_root = volume_merkle_->root();
  if (last) trailer_.image_merkle_root = image_merkle_.root();
  DRSEED_TRY(output_->write_member(member(kTrailerName, kTrailerBytes), encode_trailer(trailer_)));
  DRSEED_TRY(output_->write_end());
  DRSEED_TRY(output_->finish());
  summary_.volumes = header_.volume;
  summary_.data_segments += trailer_.data_segments;
  summary_.data_bytes += trailer_.data_bytes;
  summary_.unreadable_bytes += trailer_.unreadable_bytes;
  summary_.image_bytes += output_->position_bytes();
  output_.reset();
  entries_.clear();
  return {};
}

Result<ImageSummary> ImageWriter::finish(std::optional<std::string> md5, std::optional<std::string> sha256_hex) {
  assert(cursor_bytes_ == header_.disk_bytes);
  trailer_.md5 = std::move(md5);
  trailer_.sha256 = std::move(sha256_hex);
  DRSEED_TRY(end_volume(true));
  summary_.merkle_root = *trailer_.image_merkle_root;
  DRSEED_TRY(write_count_into_trailers());
  return summary_;
}

// Every volume says of how many it is; only now that is known. A volume that was carried away meanwhile keeps saying
// "not known", which readers accept: the last volume says it.
Result<> ImageWriter::write_count_into_trailers() {
  for (std::uint32_t volume = 1; volume < header_.volume; ++volume) {
    const auto path = volume_path(path_, header_.volume_bytes, volume);
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) continue;
    const auto end = lseek(fd.get(), 0, SEEK_END);
    if (end < static_cast<off_t>(kTrailerBytes + kTarEndBytes)) continue;
    const auto position = static_cast<std::uint64_t>(end) - kTarEndBytes - kTrailerBytes;
    std::string text(kTrailerBytes, '\0');
    DRSEED_TRY(pread_exactly(fd.get(), {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}, position, path));
    auto trailer = decode_trailer(text);
    if (!trailer || trailer->image_id != header_.image_id || trailer->volume != volume) continue;
    trailer->volumes = header_.volume;
    text = encode_trailer(*trailer);
    if (pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(position)) != static_cast<ssize_t>(text.size()) ||
        fsync(fd.get()) != 0) {
      return fail_errno(errno, "{}: the number of volumes cannot be written", path);
    }
  }
  return {};
}

}  // namespace drseed::seed
