// drseed checksum: digests of disks, and checking them like md5sum -c.

#include "base/file.h"
#include "base/hex.h"
#include "base/size_text.h"
#include "seed/checksum_file.h"
#include "seed/command_common.h"
#include "seed/commands.h"
#include "seed/verify_job.h"

namespace drseed::seed {
namespace {

struct Arguments {
  CommonOptions common;
  std::vector<std::string> devices;
  std::string check;
  bool md5 = false, sha256 = false, xxh128 = false;
};

Result<ChecksumReport> checksum(const std::string& path, const std::vector<DigestKind>& kinds, const JobOptions& job) {
  if (path == "-") return checksum_stream(*DRSEED_TRY(open_source(path)), 0, kinds, job);
  auto device = DRSEED_TRY(block::Device::open(path, {}));
  return checksum_device(*device, kinds, job);
}

Outcome compute(const Arguments& arguments) {
  std::vector<DigestKind> kinds;
  if (arguments.md5) kinds.push_back(DigestKind::kMd5);
  if (arguments.sha256) kinds.push_back(DigestKind::kSha256);
  if (arguments.xxh128) kinds.push_back(DigestKind::kXxh128);
  if (kinds.empty()) kinds.push_back(DigestKind::kSha256);
  const auto job = DRSEED_TRY(arguments.common.job());
  nlohmann::json result = {{"checksums", nlohmann::json::array()}};
  for (const auto& device : arguments.devices) {
    const auto report = DRSEED_TRY(checksum(device, kinds, job));
    nlohmann::json item = {{"path", device}, {"bytes", report.bytes}, {"seconds", report.seconds}};
    for (const auto& [kind, digest] : report.digests) {
      item[std::string(name_of(kind))] = digest;
      ChecksumLine line{kind, std::vector<std::uint8_t>(size_of(kind)), device};
      (void)from_hex(digest, line.digest);
      if (!arguments.common.json) print_out(format_checksum_line(line));
    }
    result["checksums"].push_back(std::move(item));
  }
  return std::pair{kExitDone, std::move(result)};
}

// One read for all digests that the file has of a path.
struct Check {
  std::string path;
  std::vector<ChecksumLine> lines;
};

std::vector<Check> group_by_path(const std::vector<ChecksumLine>& lines) {
  std::vector<Check> checks;
  for (const auto& line : lines) {
    const auto found =
        std::find_if(checks.begin(), checks.end(), [&](const Check& check) { return check.path == line.name; });
    auto& check = found == checks.end() ? checks.emplace_back(Check{line.name, {}}) : *found;
    check.lines.push_back(line);
  }
  return checks;
}

Outcome check(const Arguments& arguments) {
  constexpr std::size_t kFileBytesMax = 16 << 20;
  const auto lines = parse_checksum_file(DRSEED_TRY(read_file(arguments.check, kFileBytesMax)));
  if (!lines) return fail(ErrorCode::kUsage, "{}: {}", arguments.check, lines.error().message());
  if (lines->empty()) return fail(ErrorCode::kUsage, "{}: names no disk", arguments.check);
  const auto job = DRSEED_TRY(arguments.common.job());
  nlohmann::json result = {{"checks", nlohmann::json::array()}};
  auto status = kExitDone;
  for (const auto& item : group_by_path(*lines)) {
    std::vector<DigestKind> kinds;
    for (const auto& line : item.lines) {
      if (std::find(kinds.begin(), kinds.end(), line.kind) == kinds.end()) kinds.push_back(line.kind);
    }
    const auto report = checksum(item.path, kinds, job);
    for (const auto& line : item.lines) {
      const bool good = report && report->digests.at(line.kind) == to_hex(line.digest);
      if (report && !good) status = kExitDiffers;
      if (!report && status == kExitDone) status = exit_status_of(report.error().code);
      nlohmann::json entry = {
          {"path", item.path}, {"kind", name_of(line.kind)}, {"good", good}, {"expected", to_hex(line.digest)}};
      if (report) entry["found"] = report->digests.at(line.kind);
      if (!report) entry["error"] = report.error().message();
      say(arguments.common, "{}{}", report ? item.path + ": " : "",
          good     ? "OK"
          : report ? fmt::format("FAILED: expected {} {}, found {}", name_of(line.kind), to_hex(line.digest),
                                 report->digests.at(line.kind))
                   : report.error().message() + ": FAILED");
      result["checks"].push_back(std::move(entry));
    }
  }
  return std::pair{status, std::move(result)};
}

Outcome run(const Arguments& arguments) {
  if (arguments.check.empty() == arguments.devices.empty())
    return fail(ErrorCode::kUsage, "name the disks to read, or a file of digests with -c");
  return arguments.check.empty() ? compute(arguments) : check(arguments);
}

}  // namespace

void add_checksum_command(CLI::App& program, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = program.add_subcommand("checksum", "Digests of disks in one read, or check them");
  command->add_option("DEVICE", arguments->devices, "Disks or files to read; - for standard input");
  command->add_flag("--md5", arguments->md5, "MD5");
  command->add_flag("--sha256", arguments->sha256, "SHA-256; the default");
  command->add_flag("--xxh128", arguments->xxh128, "XXH3-128: fast, against accidents only");
  command
      ->add_option("-c,--check", arguments->check,
                   "Read digests and paths from a file and check them, as md5sum -c does")
      ->type_name("FILE");
  add_common_options(*command, arguments->common, false);
  command->footer("Example: drseed checksum --md5 --sha256 /dev/sdb1 > sdb1.sums && drseed checksum -c sdb1.sums");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::seed
