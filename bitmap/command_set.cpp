// drseed bitmap set: makes blocks dirty.

#include "base/size_text.h"
#include "bitmap/command_support.h"
#include "bitmap/commands.h"

namespace drseed::bitmap {
namespace {

struct Arguments {
  CommandOptions common;
  std::string file;
  SlotOptions slot;
  std::vector<std::string> ranges;
  bool all = false;
};

Result<ByteRange> parse_range(const std::string& text) {
  const auto plus = text.find('+');
  if (plus == std::string::npos)
    return fail(ErrorCode::kUsage, "--range {}: expected OFFSET+LENGTH, such as 1GiB+64KiB", text);
  return ByteRange{DRSEED_TRY(parse_size(text.substr(0, plus))), DRSEED_TRY(parse_size(text.substr(plus + 1)))};
}

Outcome run(const Arguments& arguments) {
  if (arguments.all == !arguments.ranges.empty())
    return fail(ErrorCode::kUsage, "say what to make dirty: --range OFFSET+LENGTH, or --all");
  std::vector<ByteRange> ranges;
  for (const auto& text : arguments.ranges) ranges.push_back(DRSEED_TRY(parse_range(text)));

  auto opened = DRSEED_TRY(OpenFile::open(arguments.file, OpenMode::kReadWrite));
  for (const auto& range : ranges) {
    if (const auto fits = check_range(range, opened.info()); !fits)
      return fail(fits.error().code, "{}: {}", arguments.file, fits.error().message());
  }
  if (arguments.all) ranges.push_back({0, opened.info().volume_bytes});
  auto list = nlohmann::json::array();
  for (const auto id : DRSEED_TRY(opened.choose_all(arguments.slot.name, arguments.slot.all))) {
    auto bits = opened.load(id);
    const auto before = bits.dirty_count();
    for (const auto& range : ranges)
      bits.set(blocks_covering(range.offset_bytes, range.length_bytes, opened.info().block_bytes));
    DRSEED_TRY(opened.save(id, bits));
    list.push_back(tell_added(arguments.common, opened, id, bits, before));
  }
  return std::pair{kExitDone, nlohmann::json{{"file", arguments.file}, {"slots", std::move(list)}}};
}

}  // namespace

void add_set_command(CLI::App& bitmap, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = bitmap.add_subcommand("set", "Make blocks dirty, so that the next resync copies them");
  add_file_argument(*command, arguments->file);
  auto* range = command->add_option("--range", arguments->ranges, "These bytes, such as 1GiB+64KiB; may be repeated")
                    ->type_name("OFFSET+LENGTH")
                    ->allow_extra_args(false);
  command->add_flag("--all", arguments->all, "The whole volume")->excludes(range);
  add_slot_option(*command, arguments->slot);
  add_all_slots_option(*command, arguments->slot);
  add_json_option(*command, arguments->common);
  command->footer("Example: drseed bitmap set r0.bitmap --range 1GiB+64KiB");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::bitmap
