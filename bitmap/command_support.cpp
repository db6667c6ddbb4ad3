#include "bitmap/command_support.h"

#include <algorithm>

#include "base/log.h"
#include "base/printable.h"
#include "base/size_text.h"

namespace drseed::bitmap {

Result<OpenFile> OpenFile::open(const std::string& path, OpenMode mode) {
  OpenFile opened(path, DRSEED_TRY(open_bitmap_file(path, mode)));
  opened.warn_of_damage();
  return opened;
}

// A badly damaged file has thousands; check lists all.
void OpenFile::warn_of_damage() {
  constexpr std::size_t kLinesMax = 20;
  const auto& damage = file_.damage();
  for (; warned_ < damage.size(); ++warned_) {
    if (warned_ < kLinesMax) log::warn("{}: {}", path_, describe(damage[warned_], state()));
    if (warned_ == kLinesMax) log::warn("{}: more is damaged; drseed bitmap check lists all", path_);
  }
}

std::string OpenFile::slot_name(SlotId id) const {
  return fmt::format("{}: slot {}", path_, printable(slot(id).name));
}

std::vector<SlotId> OpenFile::slots_in_use() const {
  std::vector<SlotId> slots;
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (state().slots[i].kind != SlotKind::kFree) slots.push_back(SlotId(i));
  }
  return slots;
}

Result<SlotId> OpenFile::choose(const std::string& wanted) const {
  const auto slots = slots_in_use();
  std::vector<SlotId> found;
  std::string names;
  for (const auto id : slots) {
    const auto& info = slot(id);
    if (wanted.empty() || wanted == info.name || wanted == to_string(info.id)) found.push_back(id);
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", printable(info.name), to_string(info.id));
  }
  if (found.size() == 1) return found.front();
  if (slots.empty()) return fail(ErrorCode::kUsage, "{}: none of its slots is in use", path_);
  if (wanted.empty()) {
    return fail(ErrorCode::kUsage, "{}: {} slots are in use; name one with --slot: {}", path_, slots.size(), names);
  }
  return fail(ErrorCode::kUsage, "{}: {} slots are named '{}'; those in use, by name or id: {}", path_,
              found.empty() ? "no" : "several", printable(wanted), names);
}

Result<std::vector<SlotId>> OpenFile::choose_all(const std::string& wanted, bool all) const {
  if (!all) return std::vector{DRSEED_TRY(choose(wanted))};
  auto slots = slots_in_use();
  if (slots.empty()) return fail(ErrorCode::kUsage, "{}: none of its slots is in use", path_);
  return slots;
}

DirtyBitmap OpenFile::load(SlotId id) {
  auto bits = file_.load(id);
  warn_of_damage();
  return bits;
}

DirtyBitmap OpenFile::load_with_log(SlotId id) {
  auto bits = load(id);
  file_.add_logged(bits);
  return bits;
}

Result<> OpenFile::save(SlotId id, DirtyBitmap& bits) {
  if (auto saved = file_.save(id, bits.take_changed()); !saved) {
    auto error = std::move(saved).error();
    error.context += "; the slot holds its former dirt, and perhaps part of what was to be added. Run it again";
    return tl::unexpected(std::move(error));
  }
  return {};
}

std::string describe(const Damage& damage, const StateRecord& state) {
  std::string where = damage.what;
  if (damage.slot) where += fmt::format(" of slot {}", printable(state.slots[index_of(*damage.slot)].name));
  where += fmt::format(" at offset {} ({} bytes) is damaged: ", damage.offset_bytes, damage.length_bytes);
  if (damage.blocks_dirty == 0) return where + "another copy is whole and was used";
  return where + fmt::format("{} blocks count as dirty{}", damage.blocks_dirty, damage.slot ? "" : " in every slot");
}

nlohmann::json to_json(const std::vector<Damage>& list, const StateRecord& state) {
  auto array = nlohmann::json::array();
  for (const auto& damage : list) {
    nlohmann::json item = {{"what", damage.what},
                           {"offset_bytes", damage.offset_bytes},
                           {"length_bytes", damage.length_bytes},
                           {"dirty_blocks", damage.blocks_dirty},
                           {"slot", nullptr}};
    if (damage.slot) item["slot"] = state.slots[index_of(*damage.slot)].name;
    array.push_back(std::move(item));
  }
  return array;
}

std::string_view name_of(SlotKind kind) {
  switch (kind) {
    case SlotKind::kFree:
      return "free";
    case SlotKind::kPeer:
      return "peer";
    case SlotKind::kSeed:
      return "seed";
    case SlotKind::kLocal:
      return "local";
  }
  return "unknown";
}

void add_sum(nlohmann::json& item, const DirtSum& sum) {
  item["dirty_blocks"] = sum.blocks;
  item["dirty_bytes"] = sum.bytes;
  item["dirty_percent"] = sum.percent;
}

std::string describe(const DirtSum& sum) {
  const bool tiny = sum.bytes > 0 && sum.percent < 0.01;
  return fmt::format("{} blocks, {} ({} bytes), {} % of the volume", sum.blocks, format_size(sum.bytes), sum.bytes,
                     tiny ? "less than 0.01" : fmt::format("{:.2f}", sum.percent));
}

void add_file_argument(CLI::App& command, std::string& file) {
  command.add_option("FILE", file, "A bitmap file")->required();
}

void add_slot_option(CLI::App& command, SlotOptions& options) {
  command.add_option("--slot", options.name, "This slot, by name or id; default: the only one in use")
      ->type_name("NAME");
}

void add_all_slots_option(CLI::App& command, SlotOptions& options) {
  command.add_flag("--all-slots", options.all, "Every slot in use")->excludes("--slot");
}

nlohmann::json tell_added(const CommandOptions& options, OpenFile& opened, SlotId id, const DirtyBitmap& bits,
                          std::uint64_t blocks_before) {
  const auto added = bits.dirty_count() - blocks_before;
  auto with_log = bits.clone();
  opened.file().add_logged(with_log);
  const auto sum = sum_of(with_log, opened.info());
  say(options, "{}: {} blocks added; dirty now: {}", opened.slot_name(id), added, describe(sum));
  nlohmann::json item = {{"name", opened.slot(id).name}, {"added_blocks", added}};
  add_sum(item, sum);
  return item;
}

}  // namespace drseed::bitmap
