#pragma once
// Proves an image alone, or a disk against what an image (or a list of digests) says of it. In parallel, one pass.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "block/device.h"
#include "seed/image_reader.h"
#include "seed/job.h"

namespace drseed::seed {

struct VerifyReport {
  std::vector<BadRange> bad;          // of the disk, ascending
  std::vector<std::string> problems;  // of the container
  std::uint64_t data_segments = 0;
  std::uint64_t unreadable_bytes = 0;  // sectors that the source could not read when it was imaged
  std::vector<Range> unreadable;
  std::optional<Digest256> merkle_root;
  std::map<DigestKind, std::string> digests;  // of the whole disk, in hexadecimal, where asked for
  double seconds = 0;

  bool good() const { return bad.empty() && problems.empty(); }
};

// Decompresses and hashes every segment, and compares every byte of the container.
// Digests of `kinds` are computed over the whole proven disk.
Result<VerifyReport> verify_image(ImageReader& image, const JobOptions& job, const std::vector<DigestKind>& kinds = {});

// What a stretch of a disk should be. A run of zeros may be of any length.
struct Expected {
  Range range;
  bool zeros = false;
  bool skip = false;  // nothing is known of it
  Digest256 sha256{};
};
// In order, without a gap, from offset 0; nothing at the end.
using ExpectedSource = std::function<Result<std::optional<Expected>>()>;

// Reads the disk once and compares digests.
Result<VerifyReport> compare_disk(block::Device& device, std::uint64_t disk_bytes, std::uint32_t segment_bytes,
                                  const ExpectedSource& expected, const std::string& verb, const JobOptions& job);

// The disk against the image's digests; the image's own data are not read where its index is whole.
Result<VerifyReport> verify_against(ImageReader& image, block::Device& device, const JobOptions& job);

// Digests of a whole disk, file or stream in one read. `verb` is for the progress line.
class ByteSource;
struct ChecksumReport {
  std::map<DigestKind, std::string> digests;  // in hexadecimal
  std::uint64_t bytes = 0;
  double seconds = 0;
};
Result<ChecksumReport> checksum_device(block::Device& device, const std::vector<DigestKind>& kinds,
                                       const JobOptions& job);
Result<ChecksumReport> checksum_stream(ByteSource& source, std::uint64_t size_bytes_or_0,
                                       const std::vector<DigestKind>& kinds, const JobOptions& job);

}  // namespace drseed::seed
