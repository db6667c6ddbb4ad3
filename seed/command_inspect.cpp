// drseed inspect: what an image says of itself.

#include <ctime>

#include "base/hex.h"
#include "base/size_text.h"
#include "seed/command_common.h"
#include "seed/commands.h"
#include "seed/image_reader.h"

namespace drseed::seed {
namespace {

struct Arguments {
  CommonOptions common;
  std::string image;
  std::vector<std::string> volumes;
  bool segments = false;
};

std::string format_time(std::uint64_t seconds) {
  const auto time = static_cast<time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

void say_header(const CommonOptions& common, const ImageHeader& header) {
  const auto& source = header.source;
  say(common, "image        {}", to_string(header.image_id));
  say(common, "created      {} by {}", format_time(header.created_seconds), header.writer);
  say(common, "disk         {} ({} bytes), sectors of {}/{} bytes", format_size(header.disk_bytes), header.disk_bytes,
      source.logical_sector_bytes, source.physical_sector_bytes);
  say(common, "source       {} on {}", source.path, source.host);
  if (!source.serial.empty()) say(common, "hardware     {} serial {} {}", source.model, source.serial, source.by_id);
  if (!source.filesystem_type.empty())
    say(common, "file system  {} '{}' UUID {}", source.filesystem_type, source.filesystem_label,
        source.filesystem_uuid);
  if (!source.partition_table_type.empty())
    say(common, "partitions   {} UUID {}", source.partition_table_type, source.partition_table_uuid);
  say(common, "segments     {} each, {}:{}", format_size(header.segment_bytes), name_of(header.codec), header.level);
  if (header.volume_bytes != 0) say(common, "volumes      of at most {}", format_size(header.volume_bytes));
  if (!header.note.empty()) say(common, "note         {}", header.note);
  say(common, "passport     {}", header.passport.is_null() ? "none" : header.passport.dump());
}

Result<nlohmann::json> segments_json(ImageReader& image) {
  auto list = nlohmann::json::array();
  for (;;) {
    const auto next = DRSEED_TRY(image.next());
    if (!next) break;
    const auto& segment = *next;
    auto item = to_json(segment.range);
    switch (segment.kind) {
      case StoredSegment::Kind::kData:
        item["kind"] = "data";
        item["sha256"] = to_hex(segment.sha256);
        break;
      case StoredSegment::Kind::kZeros:
        item["kind"] = "zeros";
        break;
      case StoredSegment::Kind::kDamaged:
        item["kind"] = "damaged";
        break;
    }
    list.push_back(std::move(item));
  }
  return list;
}

Outcome inspect_native(const Arguments& arguments, ImageReader& image) {
  const auto& common = arguments.common;
  const auto& header = image.header();
  nlohmann::json result = {{"image", arguments.image}, {"kind", "drseed"}};
  // Read first: a scan knows the trailer, and what is wrong, only at its end.
  if (arguments.segments) {
    image.set_buffers(2);
    result["segments"] = DRSEED_TRY(segments_json(image));
  }
  result["header"] = nlohmann::json::parse(encode_header(header));
  say_header(common, header);
  if (const auto& trailer = image.last_trailer()) {
    result["trailer"] = nlohmann::json::parse(encode_trailer(*trailer));
    say(common, "complete     {} volume(s)", trailer->volumes);
    if (trailer->image_merkle_root) say(common, "merkle root  {}", to_hex(*trailer->image_merkle_root));
    if (trailer->md5) say(common, "md5          {}", *trailer->md5);
    if (trailer->sha256) say(common, "sha256       {}", *trailer->sha256);
  } else {
    say(common, "complete     unknown: the last volume or its trailer was not seen");
  }
  for (const auto& problem : image.problems()) say(common, "BAD          {}", problem);
  result["problems"] = image.problems();
  for (const auto& segment : result.value("segments", nlohmann::json::array())) {
    say(common, "{:>16} {:>12} {} {}", segment["offset_bytes"].get<std::uint64_t>(),
        segment["length_bytes"].get<std::uint64_t>(), segment["kind"].get<std::string>(), segment.value("sha256", ""));
  }
  return std::pair{image.problems().empty() ? kExitDone : kExitDiffers, std::move(result)};
}

Outcome inspect_foreign(const Arguments& arguments, std::unique_ptr<FdSource> source) {
  const auto image = DRSEED_TRY(open_foreign(std::move(source)));
  nlohmann::json result = {{"image", arguments.image}, {"kind", "foreign"}, {"format", image.format}};
  if (image.size_bytes) result["disk_bytes"] = *image.size_bytes;
  say(arguments.common, "{}: a {} image{}; drseed apply takes it, with --sha256 or --md5 it is proven", arguments.image,
      image.format, image.size_bytes ? fmt::format(" of {} bytes", *image.size_bytes) : "");
  return std::pair{kExitDone, std::move(result)};
}

Outcome run(const Arguments& arguments) {
  ImageReadOptions reading;
  reading.partial = true;
  reading.with_payload = false;
  reading.more_volumes = arguments.volumes;
  auto opened = DRSEED_TRY(open_image(arguments.image, reading));
  if (opened.foreign) return inspect_foreign(arguments, std::move(opened.foreign));
  return inspect_native(arguments, *opened.native);
}

}  // namespace

void add_inspect_command(CLI::App& program, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = program.add_subcommand("inspect", "Show what an image says of itself");
  command->add_option("IMAGE", arguments->image, "A seed image, another disk image, or - for standard input")
      ->required();
  command->add_flag("--segments", arguments->segments, "List the segments with their digests");
  command->add_option("--volumes", arguments->volumes, "Further volumes, or folders that hold them")->type_name("PATH");
  add_json_option(*command, arguments->common);
  command->footer("Example: drseed inspect /media/usb/sdb1.drseed");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::seed
