// drseed bitmap show: what a bitmap file is of, and what a resync would copy.

#include "base/interrupt.h"
#include "base/printable.h"
#include "base/size_text.h"
#include "bitmap/command_support.h"
#include "bitmap/commands.h"

namespace drseed::bitmap {
namespace {

constexpr std::uint64_t kMapColumns = 64;

struct Arguments {
  CommandOptions common;
  std::string file;
  SlotOptions slot;
  bool runs = false;
};

std::string describe_log(const BitmapFile& file) {
  if (file.log_lost()) return "LOST: every block counts as dirty";
  const auto count = file.logged_regions().size();
  if (count == 0) return "empty";
  return fmt::format("{} regions of {}, which count as dirty", count, format_size(file.info().region_bytes));
}

nlohmann::json show_file(const Arguments& arguments, OpenFile& opened) {
  const auto& info = opened.info();
  const auto& state = opened.state();
  const bool lost = opened.file().log_lost();
  say(arguments.common, "mirror      {}", to_string(info.mirror_id));
  say(arguments.common, "volume      {} ({} bytes), {} blocks of {}", format_size(info.volume_bytes), info.volume_bytes,
      info.block_count(), format_size(info.block_bytes));
  say(arguments.common, "service     {}",
      state.in_service ? "in service, or not taken out of service cleanly" : "out of service");
  say(arguments.common, "data        generation {}, sequence {} to {}", to_string(state.generation), state.sequence_low,
      state.sequence_high);
  say(arguments.common, "log         {}", describe_log(opened.file()));
  nlohmann::json result = {{"file", opened.path()},
                           {"mirror_id", to_string(info.mirror_id)},
                           {"volume_bytes", info.volume_bytes},
                           {"block_bytes", info.block_bytes},
                           {"blocks", info.block_count()},
                           {"in_service", state.in_service},
                           {"generation", to_string(state.generation)},
                           {"sequence_low", state.sequence_low},
                           {"sequence_high", state.sequence_high},
                           {"region_bytes", info.region_bytes},
                           {"log_regions_max", info.log_regions},
                           {"log_lost", lost},
                           {"slots", nlohmann::json::array()}};
  result["log_regions"] = lost ? nlohmann::json(nullptr) : nlohmann::json(opened.file().logged_regions().size());
  return result;
}

// Millions of runs go out as they are found; only --json collects them.
Result<nlohmann::json> show_runs(const Arguments& arguments, const DirtyBitmap& bits, const FileInfo& info) {
  auto list = nlohmann::json::array();
  for (auto run = bits.next_dirty(0); run; run = bits.next_dirty(run->end())) {
    DRSEED_TRY(check_interrupt());
    const auto range = bytes_of(*run, info);
    say(arguments.common, "  run       offset {} length {}", range.offset_bytes, range.length_bytes);
    if (arguments.common.json)
      list.push_back({{"offset_bytes", range.offset_bytes}, {"length_bytes", range.length_bytes}});
  }
  return list;
}

Result<nlohmann::json> show_slot(const Arguments& arguments, OpenFile& opened, SlotId id) {
  const auto bits = opened.load_with_log(id);
  const auto& slot = opened.slot(id);
  const auto sum = sum_of(bits, opened.info());
  const bool invalid = (slot.flags & kSlotInvalid) != 0;
  const auto& common = arguments.common;
  say(common, "slot        {} ({}, {})", printable(slot.name), name_of(slot.kind), to_string(slot.id));
  if (invalid) say(common, "  INVALID   it has missed changes: its bits do not tell all that differs");
  say(common, "  base      generation {}, sequence {}", to_string(slot.base_generation), slot.base_sequence);
  say(common, "  dirty     {}", describe(sum));
  say(common, "  map       |{}|", density_line(bits, kMapColumns));
  nlohmann::json item = {{"name", slot.name},
                         {"kind", name_of(slot.kind)},
                         {"id", to_string(slot.id)},
                         {"base_generation", to_string(slot.base_generation)},
                         {"base_sequence", slot.base_sequence},
                         {"invalid", invalid}};
  add_sum(item, sum);
  if (arguments.runs) item["runs"] = DRSEED_TRY(show_runs(arguments, bits, opened.info()));
  return item;
}

Outcome run(const Arguments& arguments) {
  auto opened = DRSEED_TRY(OpenFile::open(arguments.file, OpenMode::kReadOnly));
  const auto slots =
      arguments.slot.name.empty() ? opened.slots_in_use() : std::vector{DRSEED_TRY(opened.choose(arguments.slot.name))};
  auto result = show_file(arguments, opened);
  for (const auto id : slots) result["slots"].push_back(DRSEED_TRY(show_slot(arguments, opened, id)));
  result["damage"] = to_json(opened.file().damage(), opened.state());
  return std::pair{kExitDone, std::move(result)};
}

}  // namespace

void add_show_command(CLI::App& bitmap, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = bitmap.add_subcommand("show", "Show what a resync would copy");
  add_file_argument(*command, arguments->file);
  command->add_option("--slot", arguments->slot.name, "Only this slot, by name or id")->type_name("NAME");
  command->add_flag("--runs", arguments->runs, "List the dirty runs, in bytes");
  add_json_option(*command, arguments->common);
  command->footer("Example: drseed bitmap show r0.bitmap --runs");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::bitmap
