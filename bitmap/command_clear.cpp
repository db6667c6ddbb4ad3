// drseed bitmap clear: the operator says that the copy a slot is of holds what this node's disk holds.

#include "bitmap/command_support.h"
#include "bitmap/commands.h"

namespace drseed::bitmap {
namespace {

struct Arguments {
  CommandOptions common;
  std::string file;
  SlotOptions slot;
};

// Nothing overrides these: what would be forgotten is in no other place.
Result<> check_out_of_service(OpenFile& opened) {
  const auto& state = opened.state();
  const auto& file = opened.file();
  std::string found;
  if (state.in_service)
    found = "the mirror is in service, or was when its node went down";
  else if (file.log_lost())
    found = "the activity log is lost";
  else if (!file.logged_regions().empty())
    found = fmt::format("the activity log holds {} regions", file.logged_regions().size());
  else if (state.sequence_low != state.sequence_high)
    found = fmt::format("the data are somewhere between sequence {} and {}", state.sequence_low, state.sequence_high);
  if (found.empty()) return {};
  return fail(ErrorCode::kRefused,
              "{}: {}, expected a mirror that was taken out of service cleanly. To clear now would lose changes "
              "silently, so no flag overrides this: take the mirror out of service, copy the volume, then clear",
              opened.path(), found);
}

// The new base first: dirt that the base no longer needs is only too much, but clean bits with the former base would
// say that nothing changed since. Twice, so that both records hold it, and no damage to one brings the former back.
Result<> move_bases(OpenFile& opened, const std::vector<SlotId>& slots) {
  auto state = opened.state();
  for (const auto id : slots) {
    auto& slot = state.slots[index_of(id)];
    slot.base_generation = state.generation;
    slot.base_sequence = state.sequence_low;
    slot.flags &= static_cast<std::uint8_t>(~kSlotInvalid);
  }
  DRSEED_TRY(opened.file().commit_state(state));
  return opened.file().commit_state(state);
}

Outcome run(const Arguments& arguments) {
  auto opened = DRSEED_TRY(OpenFile::open(arguments.file, OpenMode::kReadWrite));
  DRSEED_TRY(check_out_of_service(opened));
  const auto slots = DRSEED_TRY(opened.choose_all(arguments.slot.name, arguments.slot.all));
  std::vector<DirtSum> forgotten;
  for (const auto id : slots) forgotten.push_back(sum_of(opened.load(id), opened.info()));
  DRSEED_TRY(move_bases(opened, slots));
  auto list = nlohmann::json::array();
  for (std::size_t i = 0; i < slots.size(); ++i) {
    DRSEED_TRY(opened.file().reset(slots[i], false));
    const auto& slot = opened.slot(slots[i]);
    say(arguments.common, "{}: cleared, forgotten: {}; base is now generation {}, sequence {}",
        opened.slot_name(slots[i]), describe(forgotten[i]), to_string(slot.base_generation), slot.base_sequence);
    list.push_back({{"name", slot.name},
                    {"cleared_blocks", forgotten[i].blocks},
                    {"cleared_bytes", forgotten[i].bytes},
                    {"base_generation", to_string(slot.base_generation)},
                    {"base_sequence", slot.base_sequence}});
  }
  return std::pair{kExitDone, nlohmann::json{{"file", arguments.file}, {"slots", std::move(list)}}};
}

}  // namespace

void add_clear_command(CLI::App& bitmap, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command =
      bitmap.add_subcommand("clear", "Make all blocks clean, once a copy of the volume has been made out of service");
  add_file_argument(*command, arguments->file);
  add_slot_option(*command, arguments->slot);
  add_all_slots_option(*command, arguments->slot);
  add_json_option(*command, arguments->common);
  command->footer("Example: drseed bitmap clear r0.bitmap --slot dr2");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::bitmap
