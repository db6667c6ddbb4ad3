// Puts a bitmap file into a state that only a daemon makes: `bitmap_fixture FILE ACTION ARGUMENT...`, for the tests.
//   in-service                  the flag, as a node that went down leaves it
//   sequence LOW HIGH           of the data, in a new generation
//   log REGION...               the activity log's regions
//   slot NAME                   one more slot, of a peer, all clean
//   invalid NAME                a slot that has missed changes

#include <fmt/format.h>

#include <cstring>
#include <string>
#include <vector>

#include "bitmap/bitmap_disk.h"

namespace drseed::bitmap {
namespace {

SlotInfo& find_slot(StateRecord& state, const std::string& name) {
  for (auto& slot : state.slots) {
    if (slot.name == name) return slot;
  }
  fmt::print(stderr, "no slot '{}'\n", name);
  std::exit(2);
}

Result<> change(const std::string& path, const std::string& action, const std::vector<std::string>& arguments) {
  auto file = DRSEED_TRY(open_bitmap_file(path, OpenMode::kReadWrite));
  auto state = file.state();
  if (action == "in-service") {
    state.in_service = true;
  } else if (action == "sequence") {
    state.generation = random_id();
    state.sequence_low = std::stoull(arguments.at(0));
    state.sequence_high = std::stoull(arguments.at(1));
  } else if (action == "log") {
    std::vector<RegionIndex> regions;
    for (const auto& argument : arguments) regions.push_back(static_cast<RegionIndex>(std::stoul(argument)));
    return file.commit_log(regions);
  } else if (action == "slot") {
    auto& slot = find_slot(state, "");
    DRSEED_TRY(file.reset(SlotId(&slot - state.slots.data()), false));
    slot.kind = SlotKind::kPeer;
    slot.name = arguments.at(0);
    slot.id = random_id();
  } else if (action == "invalid") {
    find_slot(state, arguments.at(0)).flags = kSlotInvalid;
  } else {
    return fail(ErrorCode::kUsage, "no action '{}'", action);
  }
  return file.commit_state(state);
}

}  // namespace
}  // namespace drseed::bitmap

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto changed = drseed::bitmap::change(argv[1], argv[2], {argv + 3, argv + argc});
  if (!changed) fmt::print(stderr, "{}\n", changed.error().message());
  return changed ? 0 : 1;
}
