// drseed bitmap create: a new bitmap file with one slot, "local".

#include <unistd.h>

#include "base/size_text.h"
#include "bitmap/command_support.h"
#include "bitmap/commands.h"
#include "block/device.h"

namespace drseed::bitmap {
namespace {

struct Arguments {
  CommandOptions common;
  std::string file, size, size_of, mirror_id;
  std::string block_size = "4KiB", region_size = "4MiB";
  std::uint32_t log_regions = kLogRegionsDefault;
  bool all_dirty = false;
};

Result<std::uint32_t> parse_size32(const std::string& option, const std::string& text) {
  const auto bytes = DRSEED_TRY(parse_size(text));
  if (bytes > std::numeric_limits<std::uint32_t>::max())
    return fail(ErrorCode::kUsage, "{} {}: too large", option, text);
  return static_cast<std::uint32_t>(bytes);
}

Result<Id> parse_mirror_id(const std::string& text) {
  const auto id = parse_id(text);
  if (!id) return fail(ErrorCode::kUsage, "--mirror-id: {}", id.error().message());
  return *id;
}

Result<FileInfo> make_info(const Arguments& arguments) {
  if (arguments.size.empty() == arguments.size_of.empty())
    return fail(ErrorCode::kUsage, "give the volume's size with --size SIZE, or with --size-of DEVICE");
  FileInfo info;
  info.file_id = random_id();
  info.mirror_id = arguments.mirror_id.empty() ? random_id() : DRSEED_TRY(parse_mirror_id(arguments.mirror_id));
  info.volume_bytes = arguments.size.empty() ? DRSEED_TRY(block::Device::open(arguments.size_of, {}))->size_bytes()
                                             : DRSEED_TRY(parse_size(arguments.size));
  info.block_bytes = DRSEED_TRY(parse_size32("--block-size", arguments.block_size));
  info.region_bytes = DRSEED_TRY(parse_size32("--region-size", arguments.region_size));
  info.log_regions = arguments.log_regions;
  return info;
}

// The slot is invalid until all its blocks are set: a crash between leaves no file that calls them clean.
Result<> create_all_dirty(const std::string& path, const FileInfo& info, const StateRecord& state) {
  auto unfinished = state;
  unfinished.slots[0].flags = kSlotInvalid;
  DRSEED_TRY(create_bitmap_file(path, info, unfinished));
  const auto fill = [&]() -> Result<> {
    auto file = DRSEED_TRY(open_bitmap_file(path, OpenMode::kReadWrite));
    DRSEED_TRY(file.reset(SlotId(0), true));
    return file.commit_state(state);
  };
  const auto filled = fill();
  if (!filled) unlink(path.c_str());
  return filled;
}

Outcome run(const Arguments& arguments) {
  const auto info = DRSEED_TRY(make_info(arguments));
  StateRecord state;
  state.slots[0].kind = SlotKind::kLocal;
  state.slots[0].name = "local";
  state.slots[0].id = random_id();
  DRSEED_TRY(arguments.all_dirty ? create_all_dirty(arguments.file, info, state)
                                 : create_bitmap_file(arguments.file, info, state));
  say(arguments.common, "{}: bitmap of a volume of {} ({} bytes), {} blocks of {}, {}", arguments.file,
      format_size(info.volume_bytes), info.volume_bytes, info.block_count(), format_size(info.block_bytes),
      arguments.all_dirty ? "all dirty" : "all clean");
  say(arguments.common, "mirror {}", to_string(info.mirror_id));
  return std::pair{kExitDone, nlohmann::json{{"file", arguments.file},
                                             {"mirror_id", to_string(info.mirror_id)},
                                             {"volume_bytes", info.volume_bytes},
                                             {"block_bytes", info.block_bytes},
                                             {"blocks", info.block_count()},
                                             {"region_bytes", info.region_bytes},
                                             {"log_regions_max", info.log_regions},
                                             {"dirty_blocks", arguments.all_dirty ? info.block_count() : 0}}};
}

}  // namespace

void add_create_command(CLI::App& bitmap, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = bitmap.add_subcommand("create", "Make a new bitmap file with one slot, named local");
  command->add_option("FILE", arguments->file, "The file to make; it must not exist")->required();
  auto* size = command->add_option("--size", arguments->size, "The volume's size, such as 1TiB")->type_name("SIZE");
  command->add_option("--size-of", arguments->size_of, "Take the volume's size from this device or file")
      ->type_name("DEVICE")
      ->excludes(size);
  command->add_option("--block-size", arguments->block_size, "What one bit stands for: 4KiB to 1MiB; default 4KiB")
      ->type_name("SIZE");
  command->add_option("--mirror-id", arguments->mirror_id, "The mirror's id; default: a random one")->type_name("UUID");
  command->add_option("--log-regions", arguments->log_regions, "Regions that the activity log holds; default 1024")
      ->type_name("N");
  command->add_option("--region-size", arguments->region_size, "Size of a region of the activity log; default 4MiB")
      ->type_name("SIZE");
  command->add_flag("--all-dirty", arguments->all_dirty, "All blocks dirty, instead of all clean");
  add_json_option(*command, arguments->common);
  command->footer("Example: drseed bitmap create r0.bitmap --size 1TiB");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::bitmap
