#include "seed/image_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <filesystem>

#include "base/file.h"
#include "seed/image_writer.h"

namespace drseed::seed {
namespace {

namespace fs = std::filesystem;

Result<std::vector<std::uint8_t>> first_bytes_of(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  std::vector<std::uint8_t> bytes(kLookBytes);
  const ssize_t got = pread(fd.get(), bytes.data(), bytes.size(), 0);
  if (got < 0) return fail_errno(errno, "{}: cannot be read", path);
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

bool is_regular_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// The regular files in a folder, in the order of their names.
std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator item(folder, error), end; !error && item != end; item.increment(error)) {
    if (is_regular_file(item->path().string())) files.push_back(item->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// What a volume says of itself: in its header or, where that is damaged, in its trailer.
Result<ImageHeader> identify_volume(const std::string& path) {
  auto header = read_volume_header(path);
  if (header) return header;
  const auto indexed = IndexedVolume::open(path, false);
  if (indexed) return (*indexed)->header();
  return header;
}

std::string folder_of(const std::string& path) {
  const auto folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

bool looks_like_image(std::span<const std::uint8_t> first_bytes) {
  const std::string_view text(reinterpret_cast<const char*>(first_bytes.data()), first_bytes.size());
  const auto has = [&](std::string_view part) { return text.find(part) != std::string_view::npos; };
  return text.starts_with(kHeaderName) || (has(kFormatName) && has("\"segment_bytes\"")) ||
         has("comment=drseed-segment version=");
}

namespace {

// True if a volume's trailer stands where it must: a beginning that is lost does not make an image a raw disk.
bool ends_like_image(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  constexpr off_t kTailBytes = kTarBlockBytes + kTrailerBytes + kTarEndBytes;
  const off_t size = fd ? lseek(fd.get(), 0, SEEK_END) : 0;
  TarBlock block;
  if (size < kTailBytes || !pread_exactly(fd.get(), block, static_cast<std::uint64_t>(size - kTailBytes), path))
    return false;
  const auto member = decode_tar_header(block);
  return member && member->name == kTrailerName;
}

}  // namespace

Result<bool> is_image_file(const std::string& path) {
  if (!is_regular_file(path)) {
    const auto first = volume_path(path, 1, 1);
    return is_regular_file(first) && DRSEED_TRY(is_image_file(first));
  }
  const auto beginning = DRSEED_TRY(first_bytes_of(path));
  return looks_like_image(beginning) || ends_like_image(path);
}

VolumeReader& ImageReader::Part::reader() const {
  if (indexed) return *indexed;
  return *scanned;
}

Result<ImageReader::Part> ImageReader::open_part(const std::string& path, bool with_payload) {
  Part part;
  part.path = path;
  auto indexed = IndexedVolume::open(path, with_payload);
  if (indexed) {
    part.indexed = std::move(*indexed);
    return part;
  }
  if (indexed.error().code != ErrorCode::kDiffers) return tl::unexpected(indexed.error());
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  part.source = std::make_unique<FdSource>(std::move(fd), path);
  part.scanned = DRSEED_TRY(ScannedVolume::open(*part.source));
  part.why_scanned = indexed.error().message();
  return part;
}

Result<> ImageReader::find_volumes(const std::string& path, const ImageReadOptions& options) {
  const auto first = is_regular_file(path) ? path : volume_path(path, 1, 1);
  if (!is_regular_file(first)) return fail_errno(ENOENT, "{}: no such image", path);
  parts_.push_back(DRSEED_TRY(open_part(first, options.with_payload)));
  header_ = parts_[0].reader().header();
  const auto& trailer = parts_[0].reader().trailer();
  const bool split = header_.volume_bytes != 0 || header_.volume != 1 || (trailer && !trailer->last);
  if (!split) return {};

  std::vector<std::string> candidates = files_in(folder_of(first));
  for (const auto& more : options.more_volumes) {
    std::error_code error;
    if (fs::is_directory(more, error)) {
      const auto inside = files_in(more);
      candidates.insert(candidates.end(), inside.begin(), inside.end());
    } else {
      candidates.push_back(more);
    }
  }
  for (const auto& candidate : candidates) {
    std::error_code error;
    if (fs::equivalent(candidate, first, error)) continue;
    const auto header = identify_volume(candidate);
    if (!header || header->image_id != header_.image_id) continue;
    const auto known =
        std::find_if(parts_.begin(), parts_.end(), [&](const Part& part) { return part.number() == header->volume; });
    if (known == parts_.end()) {
      parts_.push_back(DRSEED_TRY(open_part(candidate, options.with_payload)));
    } else if (known->scanned) {
      // A second copy of a damaged volume may be whole.
      auto other = open_part(candidate, options.with_payload);
      if (other && other->indexed) *known = std::move(*other);
    }
  }
  return {};
}

Result<> ImageReader::order_parts() {
  std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) { return a.number() < b.number(); });
  std::uint32_t count = 0;
  for (const auto& part : parts_) {
    const auto& trailer = part.reader().trailer();
    if (trailer) count = std::max(count, trailer->volumes);
    if (trailer && trailer->last) last_trailer_ = trailer;
    if (!part.why_scanned.empty()) problems_.push_back(part.why_scanned);
    const auto& found = part.reader().problems();
    problems_.insert(problems_.end(), found.begin(), found.end());
    const bool same = part.reader().header().disk_bytes == header_.disk_bytes &&
                      part.reader().header().segment_bytes == header_.segment_bytes;
    if (!same) return fail(ErrorCode::kDiffers, "{}: describes another disk than the volumes beside it", part.path);
  }
  count = std::max(count, parts_.back().number());
  for (std::uint32_t number = 1; number <= count; ++number) {
    const bool there =
        std::any_of(parts_.begin(), parts_.end(), [&](const Part& part) { return part.number() == number; });
    if (!there) missing_volumes_.push_back(number);
    // A hostile count would make this list as long as it likes.
    if (missing_volumes_.size() > 10'000) return fail(ErrorCode::kDiffers, "more than 10000 volumes are missing");
  }
  for (auto number : missing_volumes_) problems_.push_back(fmt::format("volume {} of {} is missing", number, count));
  for (std::size_t i = 1; i < parts_.size(); ++i) {
    const auto& before = parts_[i - 1];
    const bool neighbours = before.indexed && parts_[i].indexed && parts_[i].number() == before.number() + 1;
    if (neighbours && before.reader().trailer()->range.end() != parts_[i].range_offset()) {
      return fail(ErrorCode::kDiffers, "{}: begins at offset {}, but the volume before it ends at {}", parts_[i].path,
                  parts_[i].range_offset(), before.reader().trailer()->range.end());
    }
  }
  const auto& last = parts_.back().reader().trailer();
  if (last && !last->last && missing_volumes_.empty())
    problems_.push_back(fmt::format("volumes after number {} are missing", count));
  return {};
}

Result<std::unique_ptr<ImageReader>> ImageReader::open(const std::string& path, const ImageReadOptions& options) {
  std::unique_ptr<ImageReader> reader(new ImageReader);
  DRSEED_TRY(reader->find_volumes(path, options));
  DRSEED_TRY(reader->order_parts());
  if (!options.partial && !reader->problems_.empty())
    return fail(ErrorCode::kDiffers, "{}", fmt::join(reader->problems_, "; "));
  reader->image_merkle_ = std::make_unique<SegmentMerkle>(reader->header_.segment_bytes);
  return reader;
}

Result<std::unique_ptr<ImageReader>> ImageReader::open_stream(std::unique_ptr<FdSource> source) {
  std::unique_ptr<ImageReader> reader(new ImageReader);
  reader->stream_ = std::move(source);
  Part part;
  part.path = reader->stream_->name();
  part.scanned = DRSEED_TRY(ScannedVolume::open(*reader->stream_));
  reader->header_ = part.scanned->header();
  reader->parts_.push_back(std::move(part));
  reader->image_merkle_ = std::make_unique<SegmentMerkle>(reader->header_.segment_bytes);
  return reader;
}

std::vector<std::string> ImageReader::paths() const {
  std::vector<std::string> paths;
  for (const auto& part : parts_) {
    if (part.indexed || part.source) paths.push_back(part.path);
  }
  return paths;
}

void ImageReader::set_buffers(std::size_t count) {
  pool_ = std::make_unique<block::BufferPool>(count, segment_region_bytes_max(header_.segment_bytes));
  for (auto& part : parts_) use_pool(part);
}

void ImageReader::use_pool(Part& part) {
  if (part.indexed) part.indexed->use_pool(*pool_);
  if (part.scanned) part.scanned->use_pool(*pool_);
}

void ImageReader::stop() {
  if (pool_) pool_->stop();
}

StoredSegment ImageReader::missing_until(std::uint64_t end_bytes, std::string why) const {
  StoredSegment segment;
  segment.range = {cursor_bytes_, end_bytes - cursor_bytes_};
  segment.problem = std::move(why);
  return segment;
}

void ImageReader::account(const StoredSegment& segment) {
  cursor_bytes_ = segment.range.end();
  switch (segment.kind) {
    case StoredSegment::Kind::kData:
      volume_merkle_->add_data(segment.sha256);
      image_merkle_->add_data(segment.sha256);
      break;
    case StoredSegment::Kind::kZeros:
      volume_merkle_->add_zeros(segment.range.length_bytes);
      image_merkle_->add_zeros(segment.range.length_bytes);
      break;
    case StoredSegment::Kind::kDamaged:
      whole_ = false;
      break;
  }
}

// The next segment of the current volume, cut to where the next volume begins; nothing at its end.
Result<std::optional<StoredSegment>> ImageReader::next_of_part() {
  auto& part = parts_[part_];
  if (!volume_merkle_) volume_merkle_ = std::make_unique<SegmentMerkle>(header_.segment_bytes);
  const auto limit = part_ + 1 < parts_.size() ? parts_[part_ + 1].range_offset() : header_.disk_bytes;
  auto segment = DRSEED_TRY(part.reader().next());
  if (!segment) return std::nullopt;
  if (segment->kind == StoredSegment::Kind::kDamaged && segment->range.end() > limit) {
    if (segment->range.offset_bytes >= limit) return std::nullopt;
    segment->range.length_bytes = limit - segment->range.offset_bytes;
  }
  if (segment->range.offset_bytes != cursor_bytes_ || segment->range.end() > limit) {
    return fail(ErrorCode::kDiffers, "{}: holds offset {} where {} was expected: volumes overlap or are out of order",
                part.path, segment->range.offset_bytes, cursor_bytes_);
  }
  return segment;
}

Result<> ImageReader::end_part() {
  auto& part = parts_[part_];
  const auto& trailer = part.reader().trailer();
  if (part.scanned) {
    const auto& found = part.scanned->problems();
    problems_.insert(problems_.end(), found.begin(), found.end());
    if (trailer && trailer->last) last_trailer_ = trailer;
  }
  if (trailer && whole_ && volume_merkle_->root() != trailer->merkle_root) {
    problems_.push_back(fmt::format("{}: the segments do not give the Merkle root in the trailer", part.path));
  }
  volume_merkle_.reset();
  ++part_;
  if (!stream_) return {};
  const bool more = !DRSEED_TRY(stream_->peek(1)).empty();
  if (!more) return {};
  if (!trailer) return {};
  if (trailer->last) {
    problems_.push_back(fmt::format("{}: more bytes follow the end of the image", stream_->name()));
    return {};
  }
  Part next;
  next.path = stream_->name();
  next.scanned = DRSEED_TRY(ScannedVolume::open(*stream_));
  const auto& header = next.scanned->header();
  if (header.image_id != header_.image_id || header.disk_bytes != header_.disk_bytes ||
      header.segment_bytes != header_.segment_bytes) {
    return fail(ErrorCode::kDiffers, "{}: another image follows the volume", next.path);
  }
  use_pool(next);
  parts_.push_back(std::move(next));
  return {};
}

Result<std::optional<StoredSegment>> ImageReader::next() {
  assert(pool_);
  while (part_ < parts_.size()) {
    const auto begin = parts_[part_].range_offset();
    std::optional<StoredSegment> segment;
    if (!volume_merkle_ && begin > cursor_bytes_) {
      segment = missing_until(begin, "the volume that holds it is missing");
    } else {
      segment = DRSEED_TRY(next_of_part());
    }
    if (!segment) {
      DRSEED_TRY(end_part());
      continue;
    }
    if (volume_merkle_) {
      account(*segment);
    } else {
      whole_ = false;
      cursor_bytes_ = segment->range.end();
    }
    return segment;
  }
  if (cursor_bytes_ < header_.disk_bytes) {
    auto segment = missing_until(header_.disk_bytes, "the volume that holds it is missing");
    whole_ = false;
    cursor_bytes_ = header_.disk_bytes;
    return segment;
  }
  if (whole_ && !merkle_root_) {
    merkle_root_ = image_merkle_->root();
    if (last_trailer_ && last_trailer_->image_merkle_root != merkle_root_) {
      problems_.push_back("the segments do not give the Merkle root of the image in the trailer");
    }
  }
  return std::nullopt;
}

Result<> ImageReader::check_metadata() {
  for (auto& part : parts_) {
    if (!part.indexed) continue;
    const auto before = part.indexed->problems().size();
    DRSEED_TRY(part.indexed->check_metadata());
    const auto& found = part.indexed->problems();
    problems_.insert(problems_.end(), found.begin() + static_cast<std::ptrdiff_t>(before), found.end());
  }
  return {};
}

}  // namespace drseed::seed
