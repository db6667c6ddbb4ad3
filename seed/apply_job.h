#pragma once
// Writes an image to a disk and proves it, in one pass: no byte of a segment reaches the target before the segment has
// proven itself.
//
// A foreign image cannot prove single segments: it is written as it comes and judged at its end by the digests that
// were given.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "seed/foreign.h"
#include "seed/image_reader.h"
#include "seed/target_writer.h"

namespace drseed::seed {

struct ApplyOptions {
  bool skip_identical = false;  // read the target first, write only what differs
  bool read_back = false;       // afterwards compare the target with the image, past the cache
  bool resume = false;
  bool exclusive = true;  // refuse a device that is mounted or held
  std::string state_directory;
  // Checks the target before anything is written to it; the journal, if it resumes, is of this target. Not called for a
  // pipe.
  std::function<Result<>(const block::Device& target, bool resumes)> check_target;
  JobOptions job;
};

struct ApplyReport {
  std::uint64_t disk_bytes = 0;
  std::uint64_t target_bytes = 0;  // 0: a pipe
  ApplyTotals totals;
  std::vector<BadRange> damaged;        // of the disk: what the target does not hold as the image should give it
  std::vector<std::string> problems;    // of the image's container
  std::vector<BadRange> read_back_bad;  // the target did not keep what was written
  bool read_back_done = false;
  bool read_back_cached = false;              // O_DIRECT was refused: the page cache was dropped instead
  std::map<DigestKind, std::string> digests;  // of a foreign image
  double seconds = 0;

  bool good() const { return damaged.empty() && problems.empty() && read_back_bad.empty(); }
};

// `target`: a device, a file (created or grown as needed), or "-".
Result<ApplyReport> apply_image(ImageReader& image, const std::string& target, const ApplyOptions& options);

// `identity` is what the journal knows the image by. Digests of `kinds` are computed on the way.
Result<ApplyReport> apply_foreign(ForeignImage& image, const std::string& identity,
                                  const std::vector<DigestKind>& kinds, const std::string& target,
                                  const ApplyOptions& options);

}  // namespace drseed::seed
