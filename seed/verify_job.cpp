#include "seed/verify_job.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "base/progress.h"
#include "seed/disk_reader.h"
#include "seed/ordered_digests.h"
#include "seed/pipeline.h"
#include "seed/segment_prover.h"

namespace drseed::seed {
namespace {

// What a worker found of one segment.
struct Verdict {
  Range range;
  std::string bad;  // why the disk's bytes are not to be had from the image; empty if they are
  std::string container;
  bool data = false;
  std::vector<Range> unreadable;
  std::shared_ptr<std::vector<std::uint8_t>> plain;  // where whole-disk digests are wanted
};

class ImageVerifier {
 public:
  ImageVerifier(std::uint32_t segment_bytes, bool keep_plain)
      : keep_plain_(keep_plain), plain_(new_buffer(segment_bytes)) {}

  Result<Verdict> operator()(StoredSegment segment) {
    Verdict verdict;
    verdict.range = segment.range;
    verdict.unreadable = std::move(segment.unreadable);
    verdict.data = segment.kind == StoredSegment::Kind::kData;
    if (segment.kind == StoredSegment::Kind::kDamaged) {
      verdict.bad = std::move(segment.problem);
    } else if (verdict.data) {
      const auto proven = prover_.prove(segment, std::span(*plain_).first(segment.range.length_bytes));
      if (keep_plain_) verdict.plain = std::exchange(plain_, new_buffer(plain_->size()));
      const auto where = fmt::format("volume {}, byte {}", segment.volume, segment.position_bytes);
      if (!proven) verdict.bad = fmt::format("{} ({})", proven.error().message(), where);
      if (proven && !segment.problem.empty())
        verdict.container =
            fmt::format("segment of offset {}: {} ({})", segment.range.offset_bytes, segment.problem, where);
    }
    return verdict;
  }

 private:
  static std::shared_ptr<std::vector<std::uint8_t>> new_buffer(std::size_t length) {
    return std::make_shared<std::vector<std::uint8_t>>(length);
  }

  const bool keep_plain_;
  SegmentProver prover_;
  std::shared_ptr<std::vector<std::uint8_t>> plain_;
};

void account(VerifyReport& report, Verdict verdict) {
  if (!verdict.bad.empty()) add_bad(report.bad, {verdict.range, std::move(verdict.bad)});
  if (!verdict.container.empty()) report.problems.push_back(std::move(verdict.container));
  report.data_segments += verdict.data ? 1 : 0;
  for (const auto& range : verdict.unreadable) report.unreadable_bytes += range.length_bytes;
  report.unreadable.insert(report.unreadable.end(), verdict.unreadable.begin(), verdict.unreadable.end());
}

}  // namespace

Result<VerifyReport> verify_image(ImageReader& image, const JobOptions& job, const std::vector<DigestKind>& kinds) {
  VerifyReport report;
  OrderedDigests digests(kinds);
  const auto segment_bytes = image.header().segment_bytes;
  const auto shape = job_shape(job, segment_bytes);
  image.set_buffers(shape.in_flight + 2);
  Progress progress("verified", image.disk_bytes(), job.progress);
  RateLimit rate(job.rate_limit_bytes);
  const auto produce = [&]() -> Result<std::optional<StoredSegment>> {
    auto segment = DRSEED_TRY(image.next());
    if (segment) rate.wait_for(segment->stored_bytes);
    return segment;
  };
  DRSEED_TRY(run_pipeline<StoredSegment, Verdict>(
      shape.threads, shape.in_flight, produce, [&] { return ImageVerifier(segment_bytes, !kinds.empty()); },
      [&](Verdict verdict) -> Result<> {
        progress.add(verdict.range.length_bytes);
        if (verdict.plain) {
          digests.add({verdict.plain, Bytes(*verdict.plain).first(verdict.range.length_bytes), 0});
        } else {
          digests.add({nullptr, {}, verdict.range.length_bytes});
        }
        account(report, std::move(verdict));
        return {};
      },
      [&] { image.stop(); }));
  report.digests = digests.finish();
  DRSEED_TRY(image.check_metadata());
  report.problems.insert(report.problems.end(), image.problems().begin(), image.problems().end());
  report.merkle_root = image.merkle_root();
  report.seconds = progress.seconds();
  return report;
}

namespace {

// A segment of the disk and what it should be.
struct Comparison {
  PlainSegment plain;
  Expected expected;
};

class Comparer {
 public:
  explicit Comparer(std::string path) : path_(std::move(path)) {}

  Result<Verdict> operator()(Comparison job) {
    Verdict verdict;
    verdict.range = job.plain.range;
    if (job.expected.skip) return verdict;
    verdict.data = !job.expected.zeros;
    if (job.plain.read_errno != 0) {
      verdict.bad =
          Error{ErrorCode::kEnvironment, job.plain.read_errno, fmt::format("{} cannot be read", path_)}.message();
    } else if (job.expected.zeros) {
      if (!job.plain.hole() && !all_zero(job.plain.bytes())) verdict.bad = "is not zero, expected zeros";
    } else {
      compare_digest(job, verdict);
    }
    return verdict;
  }

 private:
  void compare_digest(const Comparison& job, Verdict& verdict) {
    Digest256 found;
    if (job.plain.hole()) {
      found = sha256_of_zeros(job.plain.range.length_bytes);
    } else {
      hasher_.update(job.plain.bytes());
      found = hasher_.finish();
    }
    if (found != job.expected.sha256)
      verdict.bad = fmt::format("expected sha256 {}, found {}", to_hex(job.expected.sha256), to_hex(found));
  }

  std::string path_;
  Sha256 hasher_;
};

// Pairs the segments of a disk with the list of what they should be.
class Pairing {
 public:
  Pairing(DiskReader& reader, const ExpectedSource& expected) : reader_(reader), expected_(expected) {}

  Result<std::optional<Comparison>> next() {
    auto plain = DRSEED_TRY(reader_.next());
    if (!plain) return std::nullopt;
    while (current_.range.end() <= plain->range.offset_bytes) {
      auto next = DRSEED_TRY(expected_());
      if (!next) return fail(ErrorCode::kDiffers, "the image says nothing of offset {}", plain->range.offset_bytes);
      current_ = *next;
    }
    return Comparison{std::move(*plain), current_};
  }

 private:
  DiskReader& reader_;
  const ExpectedSource& expected_;
  Expected current_;
};

}  // namespace

Result<VerifyReport> compare_disk(block::Device& device, std::uint64_t disk_bytes, std::uint32_t segment_bytes,
                                  const ExpectedSource& expected, const std::string& verb, const JobOptions& job) {
  VerifyReport report;
  const auto shape = job_shape(job, segment_bytes);
  block::BufferPool pool(shape.in_flight + shape.read_ahead, segment_bytes);
  DiskReader::Options reading;
  reading.segment_bytes = segment_bytes;
  reading.range = {0, disk_bytes};
  reading.hole_bytes_max = segment_bytes;
  reading.read_ahead = shape.read_ahead;
  auto reader = DRSEED_TRY(DiskReader::open(device, pool, reading));
  Pairing pairing(*reader, expected);
  Progress progress(verb, disk_bytes, job.progress);
  RateLimit rate(job.rate_limit_bytes);
  const auto produce = [&]() -> Result<std::optional<Comparison>> {
    auto comparison = DRSEED_TRY(pairing.next());
    if (comparison && !comparison->plain.hole()) rate.wait_for(comparison->plain.range.length_bytes);
    return comparison;
  };
  DRSEED_TRY(run_pipeline<Comparison, Verdict>(
      shape.threads, shape.in_flight, produce, [&] { return Comparer(device.path()); },
      [&](Verdict verdict) -> Result<> {
        progress.add(verdict.range.length_bytes);
        account(report, std::move(verdict));
        return {};
      },
      [&] { pool.stop(); }));
  report.seconds = progress.seconds();
  return report;
}

Result<VerifyReport> verify_against(ImageReader& image, block::Device& device, const JobOptions& job) {
  if (device.size_bytes() < image.disk_bytes()) {
    return fail(ErrorCode::kDiffers, "{}: has {} bytes, the image is of a disk of {}", device.path(),
                device.size_bytes(), image.disk_bytes());
  }
  image.set_buffers(2);
  std::vector<BadRange> damaged;
  std::vector<std::string> problems;
  std::vector<Range> unreadable;
  const ExpectedSource expected = [&]() -> Result<std::optional<Expected>> {
    const auto segment = DRSEED_TRY(image.next());
    if (!segment) return std::nullopt;
    Expected next{segment->range, segment->kind == StoredSegment::Kind::kZeros,
                  segment->kind == StoredSegment::Kind::kDamaged, segment->sha256};
    if (next.skip) {
      add_bad(damaged, {segment->range, segment->problem});
    } else if (!segment->problem.empty()) {
      problems.push_back(fmt::format("segment of offset {}: {}", segment->range.offset_bytes, segment->problem));
    }
    unreadable.insert(unreadable.end(), segment->unreadable.begin(), segment->unreadable.end());
    return next;
  };
  auto report =
      DRSEED_TRY(compare_disk(device, image.disk_bytes(), image.header().segment_bytes, expected, "compared", job));
  // To its end, so that a scan checks the rest of the container and the Merkle root.
  while (DRSEED_TRY(image.next())) {
  }
  report.bad.insert(report.bad.end(), damaged.begin(), damaged.end());
  std::sort(report.bad.begin(), report.bad.end(),
            [](const BadRange& a, const BadRange& b) { return a.range.offset_bytes < b.range.offset_bytes; });
  report.problems = std::move(problems);
  report.problems.insert(report.problems.end(), image.problems().begin(), image.problems().end());
  report.merkle_root = image.merkle_root();
  for (const auto& range : unreadable) report.unreadable_bytes += range.length_bytes;
  report.unreadable = std::move(unreadable);
  return report;
}

namespace {

constexpr std::uint32_t kChecksumBytes = 4 << 20;
constexpr std::size_t kChecksumReadAhead = 4;

ChecksumReport finish_checksum(OrderedDigests& digests, const Progress& progress) {
  ChecksumReport report;
  report.digests = digests.finish();
  report.bytes = progress.done_bytes();
  report.seconds = progress.seconds();
  return report;
}

}  // namespace

Result<ChecksumReport> checksum_device(block::Device& device, const std::vector<DigestKind>& kinds,
                                       const JobOptions& job) {
  block::BufferPool pool(kChecksumReadAhead + 2 * OrderedDigests::kQueueLength + 2, kChecksumBytes);
  OrderedDigests digests(kinds);
  DiskReader::Options reading;
  reading.segment_bytes = kChecksumBytes;
  reading.range = {0, device.size_bytes()};
  reading.hole_bytes_max = std::uint64_t{kChecksumBytes} << 8;
  reading.read_ahead = kChecksumReadAhead;
  auto reader = DRSEED_TRY(DiskReader::open(device, pool, reading));
  Progress progress("read", device.size_bytes(), job.progress);
  RateLimit rate(job.rate_limit_bytes);
  for (;;) {
    DRSEED_TRY(check_interrupt());
    auto segment = DRSEED_TRY(reader->next());
    if (!segment) break;
    const auto range = segment->range;
    if (segment->read_errno != 0)
      return fail_errno(segment->read_errno, "{}: cannot be read at offset {}", device.path(), range.offset_bytes);
    if (segment->hole()) {
      digests.add({nullptr, {}, range.length_bytes});
    } else {
      rate.wait_for(range.length_bytes);
      const auto owner = std::make_shared<PlainSegment>(std::move(*segment));
      digests.add({owner, owner->bytes(), 0});
    }
    progress.add(range.length_bytes);
  }
  return finish_checksum(digests, progress);
}

Result<ChecksumReport> checksum_stream(ByteSource& source, std::uint64_t size_bytes_or_0,
                                       const std::vector<DigestKind>& kinds, const JobOptions& job) {
  OrderedDigests digests(kinds);
  Progress progress("read", size_bytes_or_0, job.progress);
  RateLimit rate(job.rate_limit_bytes);
  for (;;) {
    DRSEED_TRY(check_interrupt());
    const auto bytes = std::make_shared<std::vector<std::uint8_t>>(1 << 20);
    const auto got = DRSEED_TRY(read_full(source, *bytes));
    if (got == 0) break;
    rate.wait_for(got);
    digests.add({bytes, Bytes(*bytes).first(got), 0});
    progress.add(got);
  }
  return finish_checksum(digests, progress);
}

}  // namespace drseed::seed
