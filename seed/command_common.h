#pragma once
// What the subcommands of this module share beside base/command.h: options of jobs, digests, opening of images.

#include <string>
#include <vector>

#include "base/command.h"
#include "base/digest.h"
#include "seed/foreign.h"
#include "seed/image_reader.h"
#include "seed/job.h"

namespace drseed::seed {

struct CommonOptions : CommandOptions {
  unsigned threads = 0;
  std::string limit_rate;

  Result<JobOptions> job() const;
};

// --json, --threads, --limit-rate, --quiet; and --yes for a command that asks.
void add_common_options(CLI::App& command, CommonOptions& options, bool asks);

nlohmann::json to_json(const Range& range);
nlohmann::json to_json(const std::vector<BadRange>& list);

// One line for each bad range, at most `lines_max` of them on the terminal.
void say_bad_ranges(const CommonOptions& options, const std::vector<BadRange>& list);

// The digests that a foreign image is to have: --sha256, --md5, --checksums.
struct ExpectedDigests {
  std::string sha256, md5, file;

  bool given() const { return !sha256.empty() || !md5.empty() || !file.empty(); }
  // By kind, in lower-case hexadecimal. `name` is looked up in the file. kUsage where a digest has the wrong
  // length, or where the file's line is of the compressed image, not of the disk in it.
  Result<std::map<DigestKind, std::string>> load(const std::string& name, const std::string& image_path) const;
};
void add_digest_options(CLI::App& command, ExpectedDigests& digests);

// Differences between expected and found digests, one sentence each.
std::vector<std::string> compare_digests(const std::map<DigestKind, std::string>& expected,
                                         const std::map<DigestKind, std::string>& found, const std::string& name);

// Opens a file or "-".
Result<std::unique_ptr<FdSource>> open_source(const std::string& path);

// What IMAGE on a command line turned out to be: exactly one of the two.
struct OpenedImage {
  std::unique_ptr<ImageReader> native;
  std::unique_ptr<FdSource> foreign;  // nothing read yet
};
// A seed image in files, or in a pipe (also a named one, or "-"); anything else is foreign. A damaged seed image is
// never foreign.
Result<OpenedImage> open_image(const std::string& path, const ImageReadOptions& options);

}  // namespace drseed::seed
