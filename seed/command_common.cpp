#include "seed/command_common.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "base/hex.h"
#include "base/size_text.h"
#include "seed/checksum_file.h"

namespace drseed::seed {

Result<JobOptions> CommonOptions::job() const {
  JobOptions job;
  job.threads = threads;
  job.progress = !quiet;
  if (!limit_rate.empty()) job.rate_limit_bytes = DRSEED_TRY(parse_size(limit_rate));
  return job;
}

void add_common_options(CLI::App& command, CommonOptions& options, bool asks) {
  command.add_option("--threads", options.threads, "Threads that hash and (de)compress; default: processors + 1")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  command.add_option("--limit-rate", options.limit_rate, "At most this many bytes a second, such as 400MiB")
      ->type_name("RATE");
  add_json_option(command, options);
  add_quiet_option(command, options);
  if (asks) add_yes_option(command, options);
}

nlohmann::json to_json(const Range& range) {
  return {{"offset_bytes", range.offset_bytes}, {"length_bytes", range.length_bytes}};
}

nlohmann::json to_json(const std::vector<BadRange>& list) {
  auto array = nlohmann::json::array();
  for (const auto& bad : list) {
    auto item = to_json(bad.range);
    item["reason"] = bad.reason;
    array.push_back(std::move(item));
  }
  return array;
}

void say_bad_ranges(const CommonOptions& options, const std::vector<BadRange>& list) {
  constexpr std::size_t kLinesMax = 100;
  for (std::size_t i = 0; i < std::min(list.size(), kLinesMax); ++i) {
    say(options, "BAD   offset {} length {}: {}", list[i].range.offset_bytes, list[i].range.length_bytes,
        list[i].reason);
  }
  if (list.size() > kLinesMax) say(options, "BAD   ... and {} more ranges; --json lists all", list.size() - kLinesMax);
}

void add_digest_options(CLI::App& command, ExpectedDigests& digests) {
  command.add_option("--sha256", digests.sha256, "The SHA-256 that the whole disk must have")->type_name("HEX");
  command.add_option("--md5", digests.md5, "The MD5 that the whole disk must have")->type_name("HEX");
  command
      .add_option("--checksums", digests.file,
                  "A file of md5sum, sha256sum or drseed checksum that names the disk or the image")
      ->type_name("FILE");
}

namespace {

// A file may have a line of each kind for the same name.
Result<> load_lines(const std::vector<ChecksumLine>& lines, const std::string& name,
                    std::map<DigestKind, std::string>& expected) {
  std::map<DigestKind, std::vector<ChecksumLine>> by_kind;
  for (const auto& line : lines) by_kind[line.kind].push_back(line);
  Result<> failure;
  std::size_t found = 0;
  for (const auto& [kind, of_kind] : by_kind) {
    const auto line = find_checksum(of_kind, name);
    if (!line) {
      failure = tl::unexpected(line.error());
      continue;
    }
    expected[kind] = to_hex(line->digest);
    ++found;
  }
  return found > 0 ? Result<>{} : failure;
}

}  // namespace

Result<std::map<DigestKind, std::string>> ExpectedDigests::load(const std::string& name,
                                                                const std::string& image_path) const {
  std::map<DigestKind, std::string> expected;
  const auto add = [&](DigestKind kind, const std::string& text) -> Result<> {
    std::vector<std::uint8_t> bytes(size_of(kind));
    if (!from_hex(text, bytes))
      return fail(ErrorCode::kUsage, "--{}: '{}' is not {} hexadecimal digits", name_of(kind), text, 2 * bytes.size());
    expected[kind] = to_hex(bytes);
    return {};
  };
  if (!sha256.empty()) DRSEED_TRY(add(DigestKind::kSha256, sha256));
  if (!md5.empty()) DRSEED_TRY(add(DigestKind::kMd5, md5));
  if (!file.empty()) {
    constexpr std::size_t kFileBytesMax = 16 << 20;
    const auto lines = parse_checksum_file(DRSEED_TRY(read_file(file, kFileBytesMax)));
    if (!lines) return fail(ErrorCode::kUsage, "{}: {}", file, lines.error().message());
    if (lines->empty()) return fail(ErrorCode::kUsage, "{}: holds no digest", file);
    const auto base_name = [](const std::string& path) { return path.substr(path.find_last_of('/') + 1); };
    for (const auto& line : *lines) {
      if (base_name(line.name) == base_name(image_path) && base_name(line.name) != base_name(name)) {
        return fail(ErrorCode::kUsage,
                    "{}: its digest of '{}' is of the compressed file, not of the disk in it; check it with sha256sum "
                    "or md5sum",
                    file, line.name);
      }
    }
    DRSEED_TRY(load_lines(*lines, name, expected));
  }
  return expected;
}

std::vector<std::string> compare_digests(const std::map<DigestKind, std::string>& expected,
                                         const std::map<DigestKind, std::string>& found, const std::string& name) {
  std::vector<std::string> differences;
  for (const auto& [kind, digest] : expected) {
    const auto is = found.find(kind);
    const auto value = is == found.end() ? std::string("none") : is->second;
    if (value != digest)
      differences.push_back(fmt::format("{}: {} differs: expected {}, found {}", name, name_of(kind), digest, value));
  }
  return differences;
}

Result<std::unique_ptr<FdSource>> open_source(const std::string& path) {
  UniqueFd fd(path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  return std::make_unique<FdSource>(std::move(fd), path == "-" ? "standard input" : path);
}

Result<OpenedImage> open_image(const std::string& path, const ImageReadOptions& options) {
  OpenedImage opened;
  if (path != "-" && DRSEED_TRY(is_image_file(path))) {
    opened.native = DRSEED_TRY(ImageReader::open(path, options));
    return opened;
  }
  auto source = DRSEED_TRY(open_source(path));
  const auto beginning = DRSEED_TRY(source->peek(kLookBytes));
  if (looks_like_image(beginning)) {
    opened.native = DRSEED_TRY(ImageReader::open_stream(std::move(source)));
  } else {
    opened.foreign = std::move(source);
  }
  return opened;
}

}  // namespace drseed::seed
