// drseed bitmap check: reads every slot in use, lists what does not prove itself, and writes it anew on demand.

#include "bitmap/command_support.h"
#include "bitmap/commands.h"

namespace drseed::bitmap {
namespace {

struct Arguments {
  CommandOptions common;
  std::string file;
  bool repair = false;
};

Outcome run(const Arguments& arguments) {
  // Not by OpenFile: here damage is the result, not a warning beside it.
  auto file =
      DRSEED_TRY(open_bitmap_file(arguments.file, arguments.repair ? OpenMode::kReadWrite : OpenMode::kReadOnly));
  const auto& state = file.state();
  std::uint64_t slots = 0;
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (state.slots[i].kind == SlotKind::kFree) continue;
    (void)file.load(SlotId(i));
    ++slots;
  }
  const auto damage = file.damage();
  const auto& common = arguments.common;
  for (const auto& item : damage) say(common, "BAD   {}", describe(item, state));
  const bool repaired = arguments.repair && !damage.empty();
  if (repaired) DRSEED_TRY(file.repair());
  if (damage.empty()) {
    say(common, "OK    {}: {} slots, all whole", arguments.file, slots);
  } else if (repaired) {
    say(common, "OK    {}: {} damaged parts written anew; the blocks counted above are now dirty", arguments.file,
        damage.size());
  } else {
    say(common, "FAIL  {}: {} damaged parts; drseed bitmap check --repair writes them anew", arguments.file,
        damage.size());
  }
  const bool good = damage.empty() || repaired;
  return std::pair{good ? kExitDone : kExitDiffers, nlohmann::json{{"file", arguments.file},
                                                                   {"good", good},
                                                                   {"repaired", repaired},
                                                                   {"slots", slots},
                                                                   {"damage", to_json(damage, state)}}};
}

}  // namespace

void add_check_command(CLI::App& bitmap, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = bitmap.add_subcommand("check", "Prove a bitmap file; what does not prove itself counts as dirty");
  add_file_argument(*command, arguments->file);
  command->add_flag("--repair", arguments->repair, "Write what is damaged anew, as dirty where no copy is whole");
  add_json_option(*command, arguments->common);
  command->footer("Example: drseed bitmap check r0.bitmap");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::bitmap
