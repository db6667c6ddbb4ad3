// drseed verify: the command line of verify_job.h.

#include <cstring>

#include "base/hex.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/size_text.h"
#include "seed/codec.h"
#include "seed/command_common.h"
#include "seed/commands.h"
#include "seed/image_reader.h"
#include "seed/verify_job.h"

namespace drseed::seed {
namespace {

struct Arguments {
  CommonOptions common;
  std::string image, against;
  std::vector<std::string> volumes;
  ExpectedDigests digests;
};

Result<std::unique_ptr<block::Device>> open_against(const Arguments& arguments) {
  return block::Device::open(arguments.against, {});
}

// What the trailer claims of the whole disk must be what was found, too.
std::vector<std::string> check_claims(const Arguments& arguments, const ImageReader& image,
                                      const std::map<DigestKind, std::string>& found) {
  std::map<DigestKind, std::string> claimed;
  const auto& trailer = image.last_trailer();
  if (trailer && trailer->md5 && found.contains(DigestKind::kMd5)) claimed[DigestKind::kMd5] = *trailer->md5;
  if (trailer && trailer->sha256 && found.contains(DigestKind::kSha256))
    claimed[DigestKind::kSha256] = *trailer->sha256;
  return compare_digests(claimed, found, arguments.image + ": its trailer");
}

Outcome verify_native(const Arguments& arguments, ImageReader& image) {
  const auto expected = DRSEED_TRY(arguments.digests.load(arguments.image, arguments.image));
  const auto job = DRSEED_TRY(arguments.common.job());
  const bool against = !arguments.against.empty();
  if (against && !expected.empty())
    return fail(ErrorCode::kUsage, "--against compares with a disk; check the digests in a second run");
  std::vector<DigestKind> kinds;
  for (const auto& [kind, digest] : expected) kinds.push_back(kind);
  VerifyReport report;
  if (against) {
    auto device = DRSEED_TRY(open_against(arguments));
    report = DRSEED_TRY(verify_against(image, *device, job));
    if (device->size_bytes() > image.disk_bytes()) {
      say(arguments.common, "NOTE  {} is {} bytes larger than the image's disk; those were not compared",
          arguments.against, device->size_bytes() - image.disk_bytes());
    }
  } else {
    report = DRSEED_TRY(verify_image(image, job, kinds));
  }
  for (auto& difference : compare_digests(expected, report.digests, arguments.image))
    report.problems.push_back(std::move(difference));
  for (auto& difference : check_claims(arguments, image, report.digests))
    report.problems.push_back(std::move(difference));

  for (const auto& problem : report.problems) say(arguments.common, "BAD   {}", problem);
  say_bad_ranges(arguments.common, report.bad);
  if (report.unreadable_bytes != 0) {
    say(arguments.common, "NOTE  {} bytes in {} ranges were unreadable on the source; zeros stand for them",
        report.unreadable_bytes, report.unreadable.size());
  }
  const auto what = against ? fmt::format("{} against {}", arguments.against, arguments.image) : arguments.image;
  const auto rate = format_rate(static_cast<double>(image.disk_bytes()) / std::max(report.seconds, 1e-3));
  if (report.good()) {
    say(arguments.common, "OK    {}: {} proven, {} data segments, {} ({})", what, format_size(image.disk_bytes()),
        report.data_segments, format_duration(report.seconds), rate);
    if (report.merkle_root) say(arguments.common, "merkle root {}", to_hex(*report.merkle_root));
  } else {
    say(arguments.common, "FAIL  {}: {} bytes in {} ranges {}, {} other problems", what, total_bytes(report.bad),
        report.bad.size(), against ? "differ" : "are damaged", report.problems.size());
  }
  nlohmann::json result = {{"image", arguments.image},
                           {"image_id", to_string(image.header().image_id)},
                           {"good", report.good()},
                           {"disk_bytes", image.disk_bytes()},
                           {"data_segments", report.data_segments},
                           {"bad", to_json(report.bad)},
                           {"problems", report.problems},
                           {"unreadable", nlohmann::json::array()},
                           {"missing_volumes", image.missing_volumes()},
                           {"seconds", report.seconds}};
  for (const auto& range : report.unreadable) result["unreadable"].push_back(to_json(range));
  if (report.merkle_root) result["merkle_root"] = to_hex(*report.merkle_root);
  if (against) result["against"] = arguments.against;
  return std::pair{report.good() ? kExitDone : kExitDiffers, std::move(result)};
}

// Compares the plain disk in a foreign image with a device, byte by byte, in one pass over both.
Result<std::vector<BadRange>> compare_foreign(ForeignImage& image, const block::Device& device, Progress& progress,
                                              RateLimit& rate) {
  constexpr std::size_t kChunkBytes = 1 << 20;
  block::BufferPool pool(2, kChunkBytes);
  const auto expected = pool.take();
  const auto found = pool.take();
  std::vector<BadRange> bad;
  for (std::uint64_t offset = 0;;) {
    DRSEED_TRY(check_interrupt());
    const auto got = DRSEED_TRY(read_full(*image.bytes, expected.first(kChunkBytes)));
    if (got == 0) {
      if (offset == 0) return fail(ErrorCode::kDiffers, "the image is empty: nothing was compared");
      return bad;
    }
    rate.wait_for(got);
    const Range range{offset, got};
    if (range.end() > device.size_bytes()) {
      add_bad(bad, {range, fmt::format("{} ends at offset {}", device.path(), device.size_bytes())});
    } else if (const auto read = device.read(found.first(got), offset); !read) {
      add_bad(bad, {range, read.error().message()});
    } else if (std::memcmp(expected.data(), found.data(), got) != 0) {
      add_bad(bad, {range, "differs from the image"});
    }
    offset += got;
    progress.add(got);
  }
}

Outcome verify_foreign(const Arguments& arguments, std::unique_ptr<FdSource> source) {
  auto image = DRSEED_TRY(open_foreign(std::move(source)));
  const auto expected = DRSEED_TRY(arguments.digests.load(image.content_name, arguments.image));
  const auto job = DRSEED_TRY(arguments.common.job());
  nlohmann::json result = {{"image", arguments.image}, {"format", image.format}};
  std::vector<std::string> problems;
  std::vector<BadRange> bad;
  if (!arguments.against.empty()) {
    if (arguments.digests.given())
      return fail(ErrorCode::kUsage, "--against compares with a disk; check the digests in a second run");
    auto device = DRSEED_TRY(open_against(arguments));
    Progress progress("compared", image.size_bytes.value_or(0), job.progress);
    RateLimit rate(job.rate_limit_bytes);
    bad = DRSEED_TRY(compare_foreign(image, *device, progress, rate));
    result["against"] = arguments.against;
    result["disk_bytes"] = progress.done_bytes();
    result["against_bytes"] = device->size_bytes();
    if (device->size_bytes() > progress.done_bytes()) {
      const auto more = fmt::format("{} is {} bytes larger than the image's disk; those were not compared",
                                    arguments.against, device->size_bytes() - progress.done_bytes());
      // A device may well be larger than its copy; a file of another length is another disk.
      if (device->kind() == block::Kind::kRegularFile) problems.push_back(more);
      say(arguments.common, "NOTE  {}", more);
    }
  } else {
    if (expected.empty()) {
      return fail(ErrorCode::kUsage,
                  "{}: a {} image cannot prove itself; give --sha256, --md5, --checksums FILE or --against DEVICE",
                  arguments.image, image.format);
    }
    std::vector<DigestKind> kinds;
    for (const auto& [kind, digest] : expected) kinds.push_back(kind);
    const auto report = DRSEED_TRY(checksum_stream(*image.bytes, image.size_bytes.value_or(0), kinds, job));
    problems = compare_digests(expected, report.digests, arguments.image);
    for (const auto& [kind, digest] : report.digests) result[std::string(name_of(kind))] = digest;
    result["disk_bytes"] = report.bytes;
  }
  const bool good = bad.empty() && problems.empty();
  for (const auto& problem : problems) say(arguments.common, "BAD   {}", problem);
  say_bad_ranges(arguments.common, bad);
  say(arguments.common, "{} {}: {} image of {} bytes", good ? "OK   " : "FAIL ", arguments.image, image.format,
      result["disk_bytes"].get<std::uint64_t>());
  result["good"] = good;
  result["bad"] = to_json(bad);
  result["problems"] = problems;
  return std::pair{good ? kExitDone : kExitDiffers, std::move(result)};
}

Outcome run(const Arguments& arguments) {
  ImageReadOptions reading;
  reading.partial = true;
  reading.with_payload = arguments.against.empty();
  reading.more_volumes = arguments.volumes;
  auto opened = DRSEED_TRY(open_image(arguments.image, reading));
  if (opened.foreign) return verify_foreign(arguments, std::move(opened.foreign));
  return verify_native(arguments, *opened.native);
}

}  // namespace

void add_verify_command(CLI::App& program, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = program.add_subcommand("verify", "Prove an image, or compare a disk with it");
  command
      ->add_option("IMAGE", arguments->image, "A seed image, a raw or compressed disk image, or - for standard input")
      ->required();
  command->add_option("--against", arguments->against, "Compare this disk with the image instead of proving the image")
      ->type_name("DEVICE");
  command->add_option("--volumes", arguments->volumes, "Further volumes, or folders that hold them")->type_name("PATH");
  add_digest_options(*command, arguments->digests);
  add_common_options(*command, arguments->common, false);
  command->footer("Example: drseed verify /media/usb/sdb1.drseed --against /dev/sdb1");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::seed
