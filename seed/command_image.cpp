// drseed image: the command line of image_job.h.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/hex.h"
#include "base/log.h"
#include "base/size_text.h"
#include "block/in_use.h"
#include "seed/command_common.h"
#include "seed/commands.h"
#include "seed/image_job.h"
#include "seed/image_reader.h"
#include "seed/resume.h"

namespace drseed::seed {
namespace {

struct Arguments {
  CommonOptions common;
  std::string source, image, compression = "zstd", segment_size = "4MiB", volume_size, note;
  std::function<bool(const std::string&)> given;  // was the option on the command line
  bool sha256 = false, md5 = false, resume = false, keep_going = false, overwrite = false, live = false;
};

// A volume that changes while it is read gives an image of no moment.
Result<> check_source(const Arguments& arguments) {
  if (arguments.live) return {};
  const auto uses = DRSEED_TRY(block::users_of(arguments.source));
  std::vector<block::Use> writers;
  for (const auto& use : uses) {
    if (use.writes && use.kind != block::UseKind::kLoopBacking) writers.push_back(use);
  }
  if (writers.empty()) return {};
  return fail(
      ErrorCode::kRefused,
      "{}: is in use ({}) and may change while it is imaged, which would tear the image; take it out of use, mount it "
      "read-only, image a snapshot, or pass --live if you know that nothing writes",
      arguments.source, block::describe(writers));
}

Result<> check_image_path(const Arguments& arguments) {
  if (arguments.source == "-")
    return fail(ErrorCode::kUsage, "a pipe cannot be imaged: its size is not known; name a device or a file");
  if (arguments.image == "-") {
    if (isatty(STDOUT_FILENO) == 1)
      return fail(ErrorCode::kUsage, "an image is not written to a terminal; redirect standard output");
    if (arguments.resume) return fail(ErrorCode::kUsage, "--resume needs an image in a file, not a pipe");
    if (arguments.common.json)
      return fail(ErrorCode::kUsage, "--json and an image on standard output exclude each other");
    if (!arguments.volume_size.empty())
      return fail(ErrorCode::kUsage, "--volume-size needs an image in files, not a pipe");
    return {};
  }
  struct stat status {};
  const bool below_dev = arguments.image.starts_with("/dev/") && !arguments.image.starts_with("/dev/shm/");
  if (stat(arguments.image.c_str(), &status) != 0 && below_dev)
    return fail(ErrorCode::kUsage, "{}: no such device, and an image goes into a file on a file system",
                arguments.image);
  if (stat(arguments.image.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return fail(ErrorCode::kUsage, "{}: is a folder; name a file in it", arguments.image);
    if (S_ISBLK(status.st_mode))
      return fail(ErrorCode::kUsage, "{}: is a device; an image goes into a file on a file system", arguments.image);
    if (S_ISREG(status.st_mode) && DRSEED_TRY(block::same_disk(arguments.source, arguments.image))) {
      return fail(ErrorCode::kUsage, "{} and {} are the same: the image would overwrite the disk", arguments.source,
                  arguments.image);
    }
  }
  return {};
}

bool is_regular_file(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// The names that the image will take must not be the source, nor hold what nobody has given up.
Result<> make_room(const Arguments& arguments, bool resumes) {
  if (arguments.image == "-") return {};
  std::vector<std::string> existing;
  for (const auto& path : existing_volumes(arguments.image)) {
    if (!is_regular_file(path)) continue;
    const bool would_be_touched = path == arguments.image || !arguments.volume_size.empty() || resumes;
    if (would_be_touched && DRSEED_TRY(block::same_disk(arguments.source, path))) {
      return fail(ErrorCode::kUsage,
                  "{} is the disk itself, and the image would take its name; name the image otherwise", path);
    }
    // IMAGE was named, so it may be anything; beside it only what an earlier run left, or what this run would write.
    const bool ours = path == arguments.image || DRSEED_TRY(is_image_file(path));
    if (!ours && !arguments.volume_size.empty()) {
      return fail(ErrorCode::kRefused, "{}: exists, is no drseed image, and a volume would have its name; move it away",
                  path);
    }
    if (ours && std::filesystem::file_size(path) > 0) existing.push_back(path);
  }
  if (existing.empty() || resumes) return {};
  if (!arguments.overwrite &&
      !confirmed(arguments.common, fmt::format("{} exists. Overwrite it?", fmt::join(existing, ", ")))) {
    return fail(ErrorCode::kRefused, "{}: exists; --overwrite replaces it, --resume continues an interrupted image",
                fmt::join(existing, ", "));
  }
  // Volumes of an older image must not be found beside the new ones.
  for (const auto& path : existing) {
    if (unlink(path.c_str()) != 0) return fail_errno(errno, "{}: cannot be removed", path);
  }
  return {};
}

// Whether there is something to resume. The first volume must be there: the others cannot be continued without it.
Result<bool> something_to_resume(const Arguments& arguments) {
  const auto volumes = existing_volumes(arguments.image);
  if (volumes.empty()) {
    log::warn("{}: does not exist, starting at the beginning", arguments.image);
    return false;
  }
  const auto first = volume_path(arguments.image, 1, 1);
  if (volumes.front() != arguments.image && volumes.front() != first) {
    return fail(ErrorCode::kRefused,
                "{}: exists, but not the first volume {}; bring it back to resume, or start again with --overwrite",
                volumes.front(), first);
  }
  if (std::filesystem::file_size(volumes.front()) == 0) {
    log::warn("{}: is empty, starting at the beginning", volumes.front());
    return false;
  }
  return true;
}

Result<ImageOptions> options_of(const Arguments& arguments) {
  ImageOptions options;
  options.source = arguments.source;
  options.image = arguments.image;
  options.compression = DRSEED_TRY(parse_compression(arguments.compression));
  const auto segment = DRSEED_TRY(parse_size(arguments.segment_size));
  if (segment < kSegmentBytesMin || segment > kSegmentBytesMax || (segment & (segment - 1)) != 0) {
    return fail(ErrorCode::kUsage, "--segment-size {}: must be a power of two from 64KiB to 16MiB",
                arguments.segment_size);
  }
  options.segment_bytes = static_cast<std::uint32_t>(segment);
  if (!arguments.volume_size.empty()) {
    options.volume_bytes = DRSEED_TRY(parse_size(arguments.volume_size));
    if (options.volume_bytes == 0) return fail(ErrorCode::kUsage, "--volume-size 0: a volume cannot be empty");
  }
  if (arguments.md5) options.whole_disk_digests.push_back(DigestKind::kMd5);
  if (arguments.sha256) options.whole_disk_digests.push_back(DigestKind::kSha256);
  if (arguments.note.size() > kHeaderBytesMax / 4)
    return fail(ErrorCode::kUsage, "--note: {} bytes, at most {}", arguments.note.size(), kHeaderBytesMax / 4);
  options.note = arguments.note;
  options.resume = arguments.resume;
  options.keep_going = arguments.keep_going;
  options.job = DRSEED_TRY(arguments.common.job());
  return options;
}

nlohmann::json report_json(const Arguments& arguments, const ImageReport& report) {
  const auto& summary = report.summary;
  nlohmann::json result = {{"image", arguments.image},
                           {"source", arguments.source},
                           {"image_id", to_string(report.header.image_id)},
                           {"disk_bytes", report.header.disk_bytes},
                           {"data_bytes", summary.data_bytes},
                           {"image_bytes", summary.image_bytes},
                           {"data_segments", summary.data_segments},
                           {"volumes", summary.volumes},
                           {"merkle_root", to_hex(summary.merkle_root)},
                           {"resumed_at_bytes", report.resumed_at_bytes},
                           {"unreadable", nlohmann::json::array()},
                           {"seconds", report.seconds}};
  for (const auto& range : report.unreadable) result["unreadable"].push_back(to_json(range));
  if (report.md5) result["md5"] = *report.md5;
  if (report.sha256) result["sha256"] = *report.sha256;
  return result;
}

void say_report(const Arguments& arguments, const ImageReport& report) {
  const auto& summary = report.summary;
  const auto rate = format_rate(static_cast<double>(report.header.disk_bytes - report.resumed_at_bytes) /
                                std::max(report.seconds, 1e-3));
  say(arguments.common, "{}: {} of disk, {} of data in {} segments, image {}{}, {} ({})", arguments.image,
      format_size(report.header.disk_bytes), format_size(summary.data_bytes), summary.data_segments,
      format_size(summary.image_bytes),
      report.header.volume_bytes != 0 ? fmt::format(" in {} volume{}", summary.volumes, summary.volumes == 1 ? "" : "s")
                                      : "",
      format_duration(report.seconds), rate);
  say(arguments.common, "image {}  merkle root {}", to_string(report.header.image_id), to_hex(summary.merkle_root));
  if (report.md5) say(arguments.common, "md5 {}", *report.md5);
  if (report.sha256) say(arguments.common, "sha256 {}", *report.sha256);
  if (!report.unreadable.empty()) {
    say(arguments.common, "{} bytes in {} ranges could not be read: zeros stand for them, the image lists them",
        summary.unreadable_bytes, report.unreadable.size());
  }
}

// An image that is whole already needs no resuming, if it is of this disk.
Result<bool> already_complete(const Arguments& arguments) {
  const auto device = DRSEED_TRY(block::Device::open(arguments.source, {}));
  DRSEED_TRY(open_partial_image(arguments.image, *device));
  const auto reader = ImageReader::open(arguments.image, {.with_payload = false, .partial = false, .more_volumes = {}});
  if (!reader || !(*reader)->last_trailer()) return false;
  DRSEED_TRY(compare_sample(**reader, *device));
  return true;
}

// What was asked for must be what the interrupted image was begun with; what was not named is taken from it.
Result<> check_resume_options(const Arguments& arguments, const ImageOptions& options) {
  const auto volumes = existing_volumes(arguments.image);
  const auto header = DRSEED_TRY(read_volume_header(volumes.front()));
  const auto differs = [&](std::string_view option, auto&& begun_with) {
    return fail(ErrorCode::kUsage, "--{}: {} was begun with {}; --resume keeps that, leave the option out", option,
                volumes.front(), begun_with);
  };
  const auto has_digest = [&](std::string_view name) {
    return std::find(header.whole_disk_digests.begin(), header.whole_disk_digests.end(), name) !=
           header.whole_disk_digests.end();
  };
  if (arguments.given("--compress") &&
      (options.compression.codec != header.codec || options.compression.level != header.level)) {
    return differs("compress", fmt::format("{}:{}", name_of(header.codec), header.level));
  }
  if (arguments.given("--segment-size") && options.segment_bytes != header.segment_bytes)
    return differs("segment-size", header.segment_bytes);
  if (arguments.given("--volume-size") && options.volume_bytes != header.volume_bytes)
    return differs("volume-size", header.volume_bytes);
  if (arguments.given("--note") && options.note != header.note)
    return differs("note", fmt::format("'{}'", header.note));
  if (arguments.md5 && !has_digest("md5")) return differs("md5", "no MD5");
  if (arguments.sha256 && !has_digest("sha256")) return differs("sha256", "no SHA-256");
  return {};
}

Outcome run(Arguments& arguments) {
  DRSEED_TRY(check_image_path(arguments));
  DRSEED_TRY(check_source(arguments));
  auto options = DRSEED_TRY(options_of(arguments));
  if (options.resume) options.resume = DRSEED_TRY(something_to_resume(arguments));
  if (options.resume) DRSEED_TRY(check_resume_options(arguments, options));
  if (options.resume && DRSEED_TRY(already_complete(arguments))) {
    say(arguments.common, "{}: is complete, there is nothing to resume (drseed verify proves it)", arguments.image);
    return std::pair{kExitDone, nlohmann::json{{"image", arguments.image}, {"complete", true}}};
  }
  // A source that cannot be opened must not cost an older image.
  DRSEED_TRY(block::Device::open(options.source, {}));
  DRSEED_TRY(make_room(arguments, options.resume));
  const auto report = make_image(options);
  if (!report) {
    const auto volumes = existing_volumes(options.image);
    const bool can_resume = report.error().code != ErrorCode::kUsage && report.error().code != ErrorCode::kRefused;
    if (options.image != "-" && can_resume && !volumes.empty() && is_regular_file(volumes.front())) {
      return fail(report.error().code, "{}; what was written stays in {}, the same command with --resume continues it",
                  report.error().message(), options.image);
    }
    return tl::unexpected(report.error());
  }
  if (options.image != "-") say_report(arguments, *report);
  const auto status = report->unreadable.empty() ? kExitDone : kExitDiffers;
  return std::pair{status, report_json(arguments, *report)};
}

}  // namespace

void add_image_command(CLI::App& program, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = program.add_subcommand("image", "Make a seed image of a disk");
  command->add_option("SOURCE", arguments->source, "The disk: a block device or a file")->required();
  command->add_option("IMAGE", arguments->image, "The image to write; - for standard output")->required();
  command->add_option("--compress", arguments->compression, "zstd[:LEVEL], gzip[:LEVEL] or none; default zstd:1")
      ->type_name("CODEC");
  command->add_option("--segment-size", arguments->segment_size, "A power of two from 64KiB to 16MiB; default 4MiB")
      ->type_name("SIZE");
  command
      ->add_option("--volume-size", arguments->volume_size, "Split into IMAGE.001, IMAGE.002, ... of at most this size")
      ->type_name("SIZE");
  command->add_flag("--sha256", arguments->sha256, "Add the SHA-256 of the whole disk");
  command->add_flag("--md5", arguments->md5, "Add the MD5 of the whole disk");
  command->add_option("--note", arguments->note, "A text that travels in the image's header")->type_name("TEXT");
  command->add_flag("--resume", arguments->resume, "Continue an interrupted image after checking what is there");
  command->add_flag("--keep-going", arguments->keep_going,
                    "Image past read errors, list the sectors in the image, exit 1");
  command->add_flag("--overwrite", arguments->overwrite, "Replace an image that exists");
  command->add_flag("--live", arguments->live, "Image a disk that is in use and may change meanwhile");
  add_common_options(*command, arguments->common, true);
  command->footer("Example: drseed image /dev/sdb1 /media/usb/sdb1.drseed --volume-size 900GiB --sha256");
  arguments->given = [command](const std::string& option) { return command->count(option) > 0; };
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::seed
