// drseed apply: the command line of apply_job.h.

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/size_text.h"
#include "block/identity.h"
#include "block/in_use.h"
#include "seed/apply_job.h"
#include "seed/command_common.h"
#include "seed/commands.h"
#include "seed/verify_job.h"

namespace drseed::seed {
namespace {

struct Arguments {
  CommonOptions common;
  std::string image, target, report, state_directory;
  std::vector<std::string> volumes;
  ExpectedDigests digests;
  bool skip_identical = false, read_back = false, resume = false, overwrite = false, force_in_use = false,
       partial = false;
};

Result<> check_paths(const Arguments& arguments) {
  if (arguments.target == "-") {
    if (isatty(STDOUT_FILENO) == 1)
      return fail(ErrorCode::kUsage, "a disk is not written to a terminal; redirect standard output");
    if (arguments.common.json)
      return fail(ErrorCode::kUsage, "--json and a disk on standard output exclude each other");
    if (arguments.resume || arguments.skip_identical || arguments.read_back) {
      return fail(ErrorCode::kUsage,
                  "--resume, --skip-identical and --verify need a device or a file as the target, not a pipe");
    }
    return {};
  }
  struct stat status {};
  const bool exists = stat(arguments.target.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode))
    return fail(ErrorCode::kUsage, "{}: is a folder; name a device or a file", arguments.target);
  if (exists && arguments.image != "-" && access(arguments.image.c_str(), F_OK) == 0 &&
      DRSEED_TRY(block::same_disk(arguments.image, arguments.target))) {
    return fail(ErrorCode::kUsage, "{} and {} are the same: the image would be overwritten by its own content",
                arguments.image, arguments.target);
  }
  return {};
}

Result<> check_not_in_use(const Arguments& arguments) {
  if (arguments.force_in_use || arguments.target == "-" || access(arguments.target.c_str(), F_OK) != 0) return {};
  const auto uses = DRSEED_TRY(block::users_of(arguments.target));
  if (uses.empty()) return {};
  return fail(ErrorCode::kRefused,
              "{}: is in use: {}; unmount or detach it first (--force-in-use overwrites it all the same, which damages "
              "what uses it)",
              arguments.target, block::describe(uses));
}

bool is_the_source(const block::Device& target, const block::Identity& identity, const SourceFacts& source) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  std::error_code error;
  const bool same_place =
      source.host == host && source.path == std::filesystem::absolute(target.path(), error).string();
  return same_place || (!source.serial.empty() && source.serial == identity.serial);
}

// An older copy of the very volume that the image holds: what --skip-identical is for.
bool is_old_copy(const block::Identity& target, const SourceFacts& source) {
  const bool same_filesystem = !source.filesystem_uuid.empty() && target.filesystem_uuid == source.filesystem_uuid;
  const bool same_table =
      !source.partition_table_uuid.empty() && target.partition_table_uuid == source.partition_table_uuid;
  return same_filesystem || same_table;
}

Result<> check_content(const Arguments& arguments, const block::Device& target, bool resumes,
                       const SourceFacts* source) {
  // An interrupted apply of the same image to the same target may go on over what it wrote.
  if (resumes || arguments.overwrite || target.size_bytes() == 0) return {};
  std::vector<std::uint8_t> beginning(std::min<std::uint64_t>(kLookBytes, target.size_bytes()));
  DRSEED_TRY(target.read(beginning, 0));
  if (looks_like_image(beginning))
    return fail(ErrorCode::kRefused, "{} is a seed image itself; --overwrite overwrites it", target.path());
  const auto identity = DRSEED_TRY(block::identify(target));
  if (!identity.has_known_content()) return {};
  const bool source_itself = source != nullptr && is_the_source(target, identity, *source);
  if (arguments.skip_identical && source != nullptr && !source_itself && is_old_copy(identity, *source)) return {};
  const auto what = fmt::format("{} holds {}{}", target.path(), identity.describe_content(),
                                source_itself ? " and is the disk that the image was made from" : "");
  if (confirmed(arguments.common, what + ", which will be lost.")) return {};
  return fail(ErrorCode::kRefused, "{}; --overwrite overwrites it", what);
}

Result<ApplyOptions> options_of(const Arguments& arguments, const SourceFacts* source) {
  ApplyOptions options;
  options.skip_identical = arguments.skip_identical;
  options.read_back = arguments.read_back;
  options.resume = arguments.resume;
  options.exclusive = !arguments.force_in_use;
  if (arguments.target != "-") options.state_directory = DRSEED_TRY(state_directory(arguments.state_directory));
  options.check_target = [&arguments, source](const block::Device& target, bool resumes) {
    return check_content(arguments, target, resumes, source);
  };
  options.job = DRSEED_TRY(arguments.common.job());
  return options;
}

// The machine-readable list of what the target lacks. A later part of drseed tells the source, so that it crosses the
// wire.
Result<std::string> write_report(const Arguments& arguments, const ApplyOptions& options,
                                 const nlohmann::json& result) {
  auto path = arguments.report;
  if (path.empty())
    path = options.state_directory.empty() ? "" : damage_report_path(options.state_directory, arguments.target);
  if (path.empty()) return path;
  DRSEED_TRY(drseed::write_report(path, result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"));
  return path;
}

Outcome finish(const Arguments& arguments, const ApplyOptions& options, ApplyReport report, nlohmann::json result) {
  const bool pipe = arguments.target == "-";
  result["target"] = arguments.target;
  result["disk_bytes"] = report.disk_bytes;
  result["written_bytes"] = report.totals.written_bytes;
  result["zeroed_bytes"] = report.totals.zeroed_bytes;
  result["identical_bytes"] = report.totals.identical_bytes;
  result["earlier_bytes"] = report.totals.earlier_bytes;
  result["good"] = report.good();
  result["damaged"] = to_json(report.damaged);
  result["problems"] = report.problems;
  result["read_back"] = report.read_back_done;
  result["read_back_bad"] = to_json(report.read_back_bad);
  result["seconds"] = report.seconds;
  for (const auto& problem : report.problems) log::error("{}", problem);
  if (pipe) {
    for (const auto& bad : report.damaged) {
      log::error("offset {} length {}: {}; zeros stand for it", bad.range.offset_bytes, bad.range.length_bytes,
                 bad.reason);
    }
  } else {
    say_bad_ranges(arguments.common, report.damaged);
    say_bad_ranges(arguments.common, report.read_back_bad);
    const auto rate = format_rate(static_cast<double>(report.disk_bytes - report.totals.earlier_bytes) /
                                  std::max(report.seconds, 1e-3));
    say(arguments.common, "{}: {} applied in {} ({}): {} written, {} zeroed, {} identical{}", arguments.target,
        format_size(report.disk_bytes), format_duration(report.seconds), rate, format_size(report.totals.written_bytes),
        format_size(report.totals.zeroed_bytes), format_size(report.totals.identical_bytes),
        report.totals.earlier_bytes != 0
            ? fmt::format(", {} by an earlier run", format_size(report.totals.earlier_bytes))
            : "");
    if (report.target_bytes > report.disk_bytes) {
      say(arguments.common, "NOTE  {} is {} bytes larger than the image's disk; the rest keeps what it held",
          arguments.target, report.target_bytes - report.disk_bytes);
    }
    if (report.read_back_done && report.read_back_bad.empty()) {
      say(arguments.common, "read back and equal{}",
          report.read_back_cached ? " (direct I/O was refused: the cache was dropped instead)" : "");
    }
  }
  if (report.good()) return std::pair{kExitDone, std::move(result)};
  const auto path = DRSEED_TRY(write_report(arguments, options, result));
  if (!report.damaged.empty() || !report.read_back_bad.empty()) {
    log::error(
        "{}: {} bytes are not what the image should give; {}. With a whole copy of the image, --resume fills them",
        arguments.target, total_bytes(report.damaged) + total_bytes(report.read_back_bad),
        path.empty() ? std::string("the ranges are above") : "the ranges are listed in " + path);
  }
  if (!path.empty()) result["report"] = path;
  return std::pair{kExitDiffers, std::move(result)};
}

Outcome apply_native(const Arguments& arguments, ImageReader& image) {
  if (arguments.digests.given())
    return fail(ErrorCode::kUsage, "a seed image proves itself: --sha256, --md5 and --checksums are for other images");
  for (const auto& path : image.paths()) {
    if (arguments.target != "-" && access(arguments.target.c_str(), F_OK) == 0 &&
        DRSEED_TRY(block::same_disk(path, arguments.target))) {
      return fail(ErrorCode::kUsage, "{} is a volume of the image that would be applied to it", arguments.target);
    }
  }
  const auto options = DRSEED_TRY(options_of(arguments, &image.header().source));
  auto report = DRSEED_TRY(apply_image(image, arguments.target, options));
  return finish(arguments, options, std::move(report),
                {{"image", arguments.image}, {"image_id", to_string(image.header().image_id)}});
}

// What the journal knows a foreign image by: it has no id.
std::string foreign_identity(const Arguments& arguments, std::span<const std::uint8_t> first_bytes) {
  struct stat status {};
  const bool file = arguments.image != "-" && stat(arguments.image.c_str(), &status) == 0;
  return fmt::format("{} of {} bytes, changed {}, beginning {}", arguments.image, file ? status.st_size : 0,
                     file ? status.st_mtim.tv_sec : 0, to_hex(xxh128(first_bytes)));
}

Outcome apply_other(const Arguments& arguments, std::unique_ptr<FdSource> source) {
  if (DRSEED_TRY(source->peek(1)).empty())
    return fail(ErrorCode::kDiffers, "{}: is empty; nothing was written", arguments.image);
  const auto identity = foreign_identity(arguments, DRSEED_TRY(source->peek(kLookBytes)));
  auto image = DRSEED_TRY(open_foreign(std::move(source)));
  const auto expected = DRSEED_TRY(arguments.digests.load(image.content_name, arguments.image));
  std::vector<DigestKind> kinds;
  for (const auto& [kind, digest] : expected) kinds.push_back(kind);
  const auto options = DRSEED_TRY(options_of(arguments, nullptr));
  auto report = DRSEED_TRY(apply_foreign(image, identity, kinds, arguments.target, options));
  report.problems = compare_digests(expected, report.digests, arguments.image);
  if (expected.empty())
    log::info("{}: a {} image proves no single block; give --sha256, --md5 or --checksums FILE to prove the whole",
              arguments.image, image.format);
  nlohmann::json result = {{"image", arguments.image}, {"format", image.format}};
  for (const auto& [kind, digest] : report.digests) result[std::string(name_of(kind))] = digest;
  return finish(arguments, options, std::move(report), std::move(result));
}

Outcome run(const Arguments& arguments) {
  DRSEED_TRY(check_paths(arguments));
  DRSEED_TRY(check_not_in_use(arguments));
  ImageReadOptions reading;
  reading.partial = arguments.partial;
  reading.more_volumes = arguments.volumes;
  auto opened = open_image(arguments.image, reading);
  if (!opened && opened.error().code == ErrorCode::kDiffers && !arguments.partial) {
    return fail(ErrorCode::kDiffers,
                "{}; nothing was written. --partial applies every segment that proves itself and reports the rest",
                opened.error().message());
  }
  if (!opened) return tl::unexpected(opened.error());
  if (opened->foreign) return apply_other(arguments, std::move(opened->foreign));
  return apply_native(arguments, *opened->native);
}

}  // namespace

void add_apply_command(CLI::App& program, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = program.add_subcommand("apply", "Write an image to a disk, proving every segment first");
  command
      ->add_option("IMAGE", arguments->image, "A seed image, a raw or compressed disk image, or - for standard input")
      ->required();
  command
      ->add_option("DEVICE", arguments->target,
                   "The target: a device, a file (created or extended), or - for standard output")
      ->required();
  command->add_flag("--skip-identical", arguments->skip_identical, "Read the target first and write only what differs");
  command->add_flag("--verify", arguments->read_back, "Read the target back past the cache at the end");
  command->add_flag("--resume", arguments->resume, "Continue an interrupted apply");
  command->add_flag("--partial", arguments->partial,
                    "Apply what proves itself of an image that is truncated, or lacks its index or volumes");
  command->add_flag("--overwrite", arguments->overwrite,
                    "Overwrite a target that holds a file system or a partition table");
  command->add_flag("--force-in-use", arguments->force_in_use,
                    "Overwrite a target that is mounted or held; this damages what uses it");
  command
      ->add_option("--report", arguments->report,
                   "Where damaged ranges are listed as JSON; default: in the state directory")
      ->type_name("FILE");
  command
      ->add_option("--state-dir", arguments->state_directory,
                   "Where the journal for --resume is kept; default $DRSEED_STATE_DIR, else /var/lib/drseed, else "
                   "~/.local/state/drseed")
      ->type_name("DIR");
  command->add_option("--volumes", arguments->volumes, "Further volumes, or folders that hold them")->type_name("PATH");
  add_digest_options(*command, arguments->digests);
  add_common_options(*command, arguments->common, true);
  command->footer("Example: drseed apply /media/usb/sdb1.drseed /dev/sdc1 --verify");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::seed
