#include "seed/resume.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <random>

#include "base/log.h"
#include "block/identity.h"
#include "seed/image_reader.h"
#include "seed/pipeline.h"
#include "seed/segment_prover.h"

namespace drseed::seed {
namespace {

constexpr std::size_t kSampleSegments = 64;

struct Replayed {
  StoredSegment stored;
  std::shared_ptr<block::Buffer> plain;
  std::string failure;  // why it does not prove itself; empty if it does
};

// A few segments of an image, by reservoir sampling: each has the same chance.
class Sample {
 public:
  void add(Range range, const Digest256& digest) {
    ++seen_;
    if (segments_.size() < kSampleSegments) {
      segments_.push_back({range, digest});
      return;
    }
    const auto place = std::uniform_int_distribution<std::uint64_t>(0, seen_ - 1)(random_);
    if (place < kSampleSegments) segments_[place] = {range, digest};
  }

  Result<> compare(const block::Device& source, std::uint32_t segment_bytes) const {
    block::BufferPool pool(1, segment_bytes);
    const auto buffer = pool.take();
    for (const auto& segment : segments_) {
      const auto bytes = buffer.first(segment.range.length_bytes);
      DRSEED_TRY(source.read(bytes, segment.range.offset_bytes));
      if (sha256(bytes) != segment.sha256) {
        return fail(
            ErrorCode::kRefused,
            "{}: differs at offset {} from what the image holds: it is another disk, or has changed since, and a "
            "resumed image would be of no single moment; start again with --overwrite",
            source.path(), segment.range.offset_bytes);
      }
    }
    return {};
  }

 private:
  struct Segment {
    Range range;
    Digest256 sha256{};
  };
  std::uint64_t seen_ = 0;
  std::vector<Segment> segments_;
  std::mt19937_64 random_{std::random_device{}()};
};

class Replay {
 public:
  Replay(const std::string& image_path, const ImageHeader& header, const JobOptions& job, ImageWriter& writer,
         OrderedDigests& digests, std::vector<Range>& unreadable)
      : image_path_(image_path),
        header_(header),
        job_(job),
        writer_(writer),
        digests_(digests),
        unreadable_(unreadable) {}

  Result<> run() {
    for (std::uint32_t number = 1; !cut_; ++number) {
      const auto path = volume_path(image_path_, header_.volume_bytes, number);
      UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
      if (!fd && errno == ENOENT && number > 1) break;
      if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
      DRSEED_TRY(replay_volume(std::move(fd), path, number));
      if (header_.volume_bytes == 0) break;
    }
    return {};
  }

  const Sample& sample() const { return sample_; }

 private:
  // Whether the volume is the one that the writer comes to next, and not a file that another image left there.
  bool is_next(const ImageHeader& found, std::uint32_t number) const {
    auto expected = header_;
    expected.volume = number;
    expected.range_offset_bytes = writer_.cursor_bytes();
    return found == expected;
  }

  Result<> replay_volume(UniqueFd fd, const std::string& path, std::uint32_t number) {
    FdSource source(std::move(fd), path);
    auto volume = ScannedVolume::open(source);
    const bool next = volume && is_next((*volume)->header(), number);
    if (number == 1 && (!next || (*volume)->good_end_bytes() != writer_.position_bytes())) return other_version();
    if (!next) {
      // The run was interrupted within the volume's header, or before it: the volume begins anew.
      cut_ = true;
      return {};
    }
    const auto segment_bytes = (*volume)->header().segment_bytes;
    const auto shape = job_shape(job_, segment_bytes);
    const auto slack = digests_.empty() ? 0 : OrderedDigests::kQueueLength + 1;
    block::BufferPool stored_pool(shape.in_flight + 2, segment_region_bytes_max(segment_bytes));
    block::BufferPool plain_pool(shape.in_flight + slack, segment_bytes);
    (*volume)->use_pool(stored_pool);
    const auto make_worker = [&] {
      return [&plain_pool, prover = std::make_shared<SegmentProver>()](StoredSegment stored) -> Result<Replayed> {
        Replayed out{std::move(stored), nullptr, ""};
        if (out.stored.kind != StoredSegment::Kind::kData) return out;
        out.plain = std::make_shared<block::Buffer>(plain_pool.take());
        if (!*out.plain) return fail(ErrorCode::kInterrupted, "stopped");
        auto proven = prover->prove(out.stored, out.plain->first(out.stored.range.length_bytes));
        if (!proven) out.failure = proven.error().message();
        return out;
      };
    };
    auto result = run_pipeline<StoredSegment, Replayed>(
        shape.threads, shape.in_flight, [&] { return (*volume)->next(); }, make_worker,
        [&](Replayed segment) { return add(std::move(segment)); },
        [&] {
          stored_pool.stop();
          plain_pool.stop();
        });
    digests_.wait_idle();
    volume->reset();  // it may hold a buffer of a segment read ahead
    if (cut_) warn_of_cut(path);
    if (cut_) return {};
    return result;
  }

  Result<> other_version() const {
    return fail(ErrorCode::kDiffers,
                "{}: laid out by another version of drseed, cannot be resumed; start again with --overwrite",
                image_path_);
  }

  // What comes after the cut is made anew. That is nothing, or one torn segment, unless the image was damaged.
  void warn_of_cut(const std::string& path) const {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error || size <= writer_.position_bytes()) return;
    log::warn("{}: {} bytes from byte {} on are discarded and imaged again: {}", path, size - writer_.position_bytes(),
              writer_.position_bytes(), why_cut_);
  }

  // An error stops the pipeline; cut_ says that it is only the end of what can be kept.
  Result<> cut(std::string why) {
    cut_ = true;
    why_cut_ = why;
    return fail(ErrorCode::kDiffers, "{}", why);
  }

  Result<> add(Replayed segment) {
    auto& stored = segment.stored;
    if (stored.range.offset_bytes != writer_.cursor_bytes()) return cut("not the next segment");
    switch (stored.kind) {
      case StoredSegment::Kind::kDamaged:
        return cut(stored.problem);
      case StoredSegment::Kind::kZeros:
        digests_.add({nullptr, {}, stored.range.length_bytes});
        return writer_.add_zeros(stored.range.length_bytes);
      case StoredSegment::Kind::kData:
        break;
    }
    if (!stored.problem.empty() || !segment.failure.empty()) return cut(stored.problem + segment.failure);
    DRSEED_TRY(writer_.add_data({static_cast<std::uint32_t>(stored.range.length_bytes), stored.sha256, stored.xxh128,
                                 stored.stored(), stored.unreadable}));
    if (writer_.volume() != stored.volume ||
        writer_.position_bytes() != stored.position_bytes + tar_padded_bytes(stored.stored_bytes)) {
      return other_version();
    }
    digests_.add({segment.plain, segment.plain->first(stored.range.length_bytes), 0});
    unreadable_.insert(unreadable_.end(), stored.unreadable.begin(), stored.unreadable.end());
    if (stored.unreadable.empty()) sample_.add(stored.range, stored.sha256);
    return {};
  }

  const std::string& image_path_;
  const ImageHeader& header_;
  const JobOptions& job_;
  ImageWriter& writer_;
  OrderedDigests& digests_;
  std::vector<Range>& unreadable_;
  bool cut_ = false;
  std::string why_cut_;
  Sample sample_;
};

}  // namespace

Result<PartialImage> open_partial_image(const std::string& image_path, const block::Device& source) {
  const auto volumes_exist =
      access(image_path.c_str(), F_OK) != 0 && access(volume_path(image_path, 1, 1).c_str(), F_OK) == 0;
  const auto first = volumes_exist ? volume_path(image_path, 1, 1) : image_path;
  auto header = read_volume_header(first);
  if (!header) {
    return fail(header.error().code, "{}; nothing can be resumed, start again with --overwrite",
                header.error().message());
  }
  if (header->disk_bytes != source.size_bytes()) {
    return fail(ErrorCode::kRefused, "{}: is of a disk of {} bytes, but {} has {}: not the same disk", first,
                header->disk_bytes, source.path(), source.size_bytes());
  }
  const auto identity = block::identify(source);
  if (identity && !identity->serial.empty() && !header->source.serial.empty() &&
      identity->serial != header->source.serial) {
    return fail(ErrorCode::kRefused, "{}: is of the disk with serial number {}, but {} has {}", first,
                header->source.serial, source.path(), identity->serial);
  }
  return PartialImage{std::move(*header)};
}

Result<> replay_image(const std::string& image_path, const JobOptions& job, const block::Device& source,
                      ImageWriter& writer, OrderedDigests& digests, std::vector<Range>& unreadable) {
  const auto header = DRSEED_TRY(open_partial_image(image_path, source)).header;
  Replay replay(image_path, header, job, writer, digests, unreadable);
  DRSEED_TRY(replay.run());
  return replay.sample().compare(source, header.segment_bytes);
}

Result<> compare_sample(ImageReader& image, const block::Device& source) {
  image.set_buffers(2);
  Sample sample;
  while (const auto segment = DRSEED_TRY(image.next())) {
    if (segment->kind == StoredSegment::Kind::kData && segment->unreadable.empty())
      sample.add(segment->range, segment->sha256);
  }
  return sample.compare(source, image.header().segment_bytes);
}

}  // namespace drseed::seed
