#pragma once
// Makes a seed image of a disk in one pass: read ahead, find zeros, hash and compress on all processors, write in
// order.

#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "block/device.h"
#include "seed/codec.h"
#include "seed/image_writer.h"
#include "seed/job.h"

namespace drseed::seed {

struct ImageOptions {
  std::string source;
  std::string image;  // "-": standard output
  Compression compression;
  std::uint32_t segment_bytes = kSegmentBytesDefault;
  std::uint64_t volume_bytes = 0;  // 0: one volume
  std::vector<DigestKind> whole_disk_digests;
  std::string note;
  bool resume = false;
  bool keep_going = false;  // past read errors
  JobOptions job;
};

struct ImageReport {
  ImageHeader header;
  ImageSummary summary;
  std::vector<Range> unreadable;
  std::optional<std::string> md5, sha256;
  std::uint64_t resumed_at_bytes = 0;  // of the disk; 0: began at the beginning
  double seconds = 0;
};

// The caller has checked that the source may be read and the image may be written. After an Error the part that was
// written stays for `resume`. Resuming checks every segment that is there against its digests, and a sample of them
// against the source.
Result<ImageReport> make_image(const ImageOptions& options);

// What exists under an image's name: IMAGE itself first, then IMAGE.001 and so on, whoever made them.
std::vector<std::string> existing_volumes(const std::string& image_path);

}  // namespace drseed::seed
