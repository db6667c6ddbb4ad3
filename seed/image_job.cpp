#include "seed/image_job.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>

#include "base/log.h"
#include "base/progress.h"
#include "base/size_text.h"
#include "block/identity.h"
#include "seed/disk_reader.h"
#include "seed/ordered_digests.h"
#include "seed/pipeline.h"
#include "seed/resume.h"

#ifndef DRSEED_VERSION
#define DRSEED_VERSION "unknown"
#endif

namespace drseed::seed {
namespace {

SourceFacts facts_of(const block::Device& device) {
  SourceFacts facts;
  std::error_code error;
  facts.path = std::filesystem::absolute(device.path(), error).string();
  char host[256] = "";
  if (gethostname(host, sizeof host - 1) == 0) facts.host = host;
  facts.logical_sector_bytes = device.logical_sector_bytes();
  facts.physical_sector_bytes = device.physical_sector_bytes();
  if (const auto identity = block::identify(device)) {
    facts.model = identity->model;
    facts.serial = identity->serial;
    facts.by_id = identity->by_id;
    facts.filesystem_type = identity->filesystem_type;
    facts.filesystem_uuid = identity->filesystem_uuid;
    facts.filesystem_label = identity->filesystem_label;
    facts.partition_table_type = identity->partition_table_type;
    facts.partition_table_uuid = identity->partition_table_uuid;
  }
  return facts;
}

ImageHeader new_header(const ImageOptions& options, const block::Device& device) {
  ImageHeader header;
  header.image_id = random_id();
  header.created_seconds = static_cast<std::uint64_t>(time(nullptr));
  header.writer = "drseed " DRSEED_VERSION;
  header.source = facts_of(device);
  header.disk_bytes = device.size_bytes();
  header.segment_bytes = options.segment_bytes;
  header.codec = options.compression.codec;
  header.level = options.compression.level;
  header.volume_bytes = options.volume_bytes;
  for (auto kind : options.whole_disk_digests) header.whole_disk_digests.emplace_back(name_of(kind));
  header.note = options.note;
  return header;
}

std::vector<DigestKind> digests_of(const ImageHeader& header) {
  std::vector<DigestKind> kinds;
  for (auto kind : {DigestKind::kMd5, DigestKind::kSha256}) {
    const auto& names = header.whole_disk_digests;
    if (std::find(names.begin(), names.end(), name_of(kind)) != names.end()) kinds.push_back(kind);
  }
  return kinds;
}

// A segment on its way from the workers to the writer. Zeros have no `stored`.
struct Compressed {
  std::shared_ptr<PlainSegment> plain;  // kept only for the whole-disk digests
  Range range;
  block::Buffer buffer;
  std::size_t stored_bytes = 0;
  Digest256 sha256{};
  Digest128 xxh128{};
  std::vector<Range> unreadable;

  bool zeros() const { return stored_bytes == 0; }
};

class Compressor {
 public:
  Compressor(Compression compression, block::BufferPool& pool, bool keep_plain)
      : compressor_(compression), pool_(pool), keep_plain_(keep_plain) {}

  Result<Compressed> operator()(PlainSegment plain) {
    Compressed out;
    out.range = plain.range;
    out.unreadable = plain.unreadable;
    // A segment with unreadable sectors is stored even if the rest is zero: its record lists them.
    const bool zeros = plain.hole() || (plain.unreadable.empty() && all_zero(plain.bytes()));
    if (!zeros) {
      out.buffer = pool_.take();
      if (!out.buffer) return fail(ErrorCode::kInterrupted, "stopped");
      hasher_.update(plain.bytes());
      out.sha256 = hasher_.finish();
      out.stored_bytes = compressor_.compress(plain.bytes(), out.buffer.first(out.buffer.capacity()));
      out.xxh128 = xxh128(out.buffer.first(out.stored_bytes));
    }
    if (zeros) plain.buffer = block::Buffer();
    if (keep_plain_ && !zeros) out.plain = std::make_shared<PlainSegment>(std::move(plain));
    return out;
  }

 private:
  SegmentCompressor compressor_;
  Sha256 hasher_;
  block::BufferPool& pool_;
  const bool keep_plain_;
};

class ImageJob {
 public:
  ImageJob(const ImageOptions& options, block::Device& device) : options_(options), device_(device) {}

  Result<ImageReport> run() {
    DRSEED_TRY(open_writer());
    DRSEED_TRY(copy());
    if (digests_found_.contains(DigestKind::kMd5)) report_.md5 = digests_found_[DigestKind::kMd5];
    if (digests_found_.contains(DigestKind::kSha256)) report_.sha256 = digests_found_[DigestKind::kSha256];
    report_.summary = DRSEED_TRY(writer_->finish(report_.md5, report_.sha256));
    report_.seconds = progress_->seconds();
    return std::move(report_);
  }

 private:
  Result<> open_writer() {
    if (options_.resume) {
      auto resumed = DRSEED_TRY(open_partial_image(options_.image, device_));
      report_.header = resumed.header;
    } else {
      report_.header = new_header(options_, device_);
    }
    const auto& header = report_.header;
    if (header.disk_bytes / header.segment_bytes >= kSegmentsMax) {
      return fail(ErrorCode::kUsage, "{}: more than {} segments; choose a larger --segment-size", options_.source,
                  kSegmentsMax);
    }
    if (auto readable = decode_header(encode_header(header)); !readable)
      return fail(ErrorCode::kUsage, "the image could not be read again: {}", readable.error().message());
    if (header.volume_bytes != 0 && header.volume_bytes < ImageWriter::volume_bytes_min(header)) {
      return fail(
          ErrorCode::kUsage,
          "--volume-size {} is too small for one segment; the least is {}, or less with a smaller --segment-size",
          header.volume_bytes, ImageWriter::volume_bytes_min(header));
    }
    digests_ = std::make_unique<OrderedDigests>(digests_of(header));
    progress_ = std::make_unique<Progress>("imaged", header.disk_bytes, options_.job.progress);
    if (options_.resume) {
      writer_ = DRSEED_TRY(ImageWriter::replay(header, options_.image));
      DRSEED_TRY(replay_image(options_.image, options_.job, device_, *writer_, *digests_, report_.unreadable));
      report_.resumed_at_bytes = writer_->cursor_bytes();
      progress_->add_earlier(writer_->cursor_bytes());
      log::info("{}: resuming at offset {} ({} of {} are there and proven)", options_.image, writer_->cursor_bytes(),
                format_size(writer_->cursor_bytes()), format_size(header.disk_bytes));
      return writer_->go_live();
    }
    if (options_.image == "-") {
      writer_ = DRSEED_TRY(ImageWriter::to_pipe(header, UniqueFd(dup(STDOUT_FILENO))));
    } else {
      writer_ = DRSEED_TRY(ImageWriter::create(header, options_.image));
    }
    return {};
  }

  Result<> copy() {
    const auto& header = report_.header;
    const auto shape = job_shape(options_.job, header.segment_bytes);
    const auto digest_slack = digests_->empty() ? 0 : OrderedDigests::kQueueLength + 1;
    block::BufferPool plain_pool(shape.in_flight + shape.read_ahead + digest_slack, header.segment_bytes);
    block::BufferPool stored_pool(shape.in_flight, stored_bytes_max(header.segment_bytes));
    DiskReader::Options reading;
    reading.segment_bytes = header.segment_bytes;
    reading.range = {writer_->cursor_bytes(), header.disk_bytes - writer_->cursor_bytes()};
    reading.hole_bytes_max = std::uint64_t{header.segment_bytes} << 10;
    reading.read_ahead = shape.read_ahead;
    auto reader = DRSEED_TRY(DiskReader::open(device_, plain_pool, reading));
    RateLimit rate(options_.job.rate_limit_bytes);

    const auto produce = [&]() -> Result<std::optional<PlainSegment>> {
      auto segment = DRSEED_TRY(reader->next());
      if (!segment) return std::nullopt;
      if (!segment->hole()) rate.wait_for(segment->range.length_bytes);
      if (segment->read_errno != 0) DRSEED_TRY(handle_read_error(*segment));
      return segment;
    };
    const auto make_worker = [&] { return Compressor({header.codec, header.level}, stored_pool, !digests_->empty()); };
    const auto consume = [&](Compressed segment) { return write(std::move(segment)); };
    auto result =
        run_pipeline<PlainSegment, Compressed>(shape.threads, shape.in_flight, produce, make_worker, consume, [&] {
          plain_pool.stop();
          stored_pool.stop();
        });
    if (result) digests_found_ = digests_->finish();
    digests_.reset();  // gives its buffers back before the pools go
    return result;
  }

  Result<> handle_read_error(PlainSegment& segment) {
    const int error = segment.read_errno;
    DRSEED_TRY(salvage(device_, segment, options_.keep_going));
    if (segment.unreadable.empty()) return {};  // a second attempt succeeded
    const auto& first = segment.unreadable.front();
    if (!options_.keep_going) {
      return fail_errno(
          error, "{}: cannot be read at offset {} ({} bytes); --keep-going images the rest and lists what is missing",
          device_.path(), first.offset_bytes, first.length_bytes);
    }
    for (const auto& range : segment.unreadable) {
      log::error("{}: cannot be read at offset {} ({} bytes): zeros stand for them in the image", device_.path(),
                 range.offset_bytes, range.length_bytes);
    }
    return {};
  }

  Result<> write(Compressed segment) {
    OrderedDigests::Piece piece;
    if (segment.zeros()) {
      DRSEED_TRY(writer_->add_zeros(segment.range.length_bytes));
      piece.zeros = segment.range.length_bytes;
    } else {
      report_.unreadable.insert(report_.unreadable.end(), segment.unreadable.begin(), segment.unreadable.end());
      DRSEED_TRY(
          writer_->add_data({static_cast<std::uint32_t>(segment.range.length_bytes), segment.sha256, segment.xxh128,
                             segment.buffer.first(segment.stored_bytes), std::move(segment.unreadable)}));
      if (segment.plain) piece.bytes = segment.plain->bytes();
      piece.owner = std::move(segment.plain);
    }
    digests_->add(piece);
    progress_->add(segment.range.length_bytes);
    return {};
  }

  const ImageOptions& options_;
  block::Device& device_;
  ImageReport report_;
  std::unique_ptr<ImageWriter> writer_;
  std::unique_ptr<OrderedDigests> digests_;
  std::map<DigestKind, std::string> digests_found_;
  std::unique_ptr<Progress> progress_;
};

}  // namespace

Result<ImageReport> make_image(const ImageOptions& options) {
  block::OpenOptions open;
  auto device = DRSEED_TRY(block::Device::open(options.source, open));
  if (device->size_bytes() == 0)
    return fail(ErrorCode::kUsage, "{}: is empty, there is nothing to image", options.source);
  if (device->size_bytes() > kDiskBytesMax)
    return fail(ErrorCode::kUsage, "{}: larger than an image can hold", options.source);
  return ImageJob(options, *device).run();
}

std::vector<std::string> existing_volumes(const std::string& image_path) {
  namespace fs = std::filesystem;
  std::vector<std::string> volumes;
  std::error_code error;
  const fs::path image(image_path);
  const auto folder = image.parent_path().empty() ? fs::path(".") : image.parent_path();
  const auto prefix = image.filename().string() + ".";
  for (fs::directory_iterator item(folder, error), end; !error && item != end; item.increment(error)) {
    const auto name = item->path().filename().string();
    const bool numbered = name.size() >= prefix.size() + 3 && name.starts_with(prefix) &&
                          name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
    if (numbered) volumes.push_back((image.parent_path() / name).string());
  }
  // By number: 1000 comes after 999.
  std::sort(volumes.begin(), volumes.end(),
            [](const auto& a, const auto& b) { return std::pair(a.size(), a) < std::pair(b.size(), b); });
  if (fs::exists(image_path, error)) volumes.insert(volumes.begin(), image_path);
  return volumes;
}

}  // namespace drseed::seed
