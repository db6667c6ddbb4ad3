#pragma once
// What the subcommands of `drseed bitmap` share: opening with warnings of damage, choosing slots, saving, telling sums.

#include <string>
#include <string_view>
#include <vector>

#include "base/command.h"
#include "bitmap/bitmap_disk.h"
#include "bitmap/dirt.h"

namespace drseed::bitmap {

// A bitmap file opened for one command. What did not prove itself is said, as soon as it is found, on standard error.
class OpenFile {
 public:
  static Result<OpenFile> open(const std::string& path, OpenMode mode);

  const std::string& path() const { return path_; }
  BitmapFile& file() { return file_; }
  const FileInfo& info() const { return file_.info(); }
  const StateRecord& state() const { return file_.state(); }
  const SlotInfo& slot(SlotId id) const { return file_.state().slots[index_of(id)]; }

  // "PATH: slot NAME", for messages.
  std::string slot_name(SlotId id) const;
  std::vector<SlotId> slots_in_use() const;
  // By name or id. Without `wanted`, the only slot in use. kUsage, listing the names, where that is not one slot.
  Result<SlotId> choose(const std::string& wanted) const;
  // `wanted`, or all that are in use.
  Result<std::vector<SlotId>> choose_all(const std::string& wanted, bool all) const;

  // As stored, without the activity log.
  DirtyBitmap load(SlotId id);
  // What a resync would copy: as stored, and the regions of the activity log.
  DirtyBitmap load_with_log(SlotId id);
  // Durable when it returns. `bits` come from load() and only have gained.
  Result<> save(SlotId id, DirtyBitmap& bits);

 private:
  OpenFile(std::string path, BitmapFile file) : path_(std::move(path)), file_(std::move(file)) {}
  void warn_of_damage();

  std::string path_;
  BitmapFile file_;
  std::size_t warned_ = 0;  // entries of damage() that were said
};

// One sentence about a damage, without the file's name.
std::string describe(const Damage& damage, const StateRecord& state);
nlohmann::json to_json(const std::vector<Damage>& list, const StateRecord& state);

std::string_view name_of(SlotKind kind);
// Adds dirty_blocks, dirty_bytes and dirty_percent.
void add_sum(nlohmann::json& item, const DirtSum& sum);
// "16 blocks, 64.0 KiB (65536 bytes), 0.01 % of the volume".
std::string describe(const DirtSum& sum);

// --slot, and --all-slots where a command may change several.
struct SlotOptions {
  std::string name;
  bool all = false;
};
void add_slot_option(CLI::App& command, SlotOptions& options);
void add_all_slots_option(CLI::App& command, SlotOptions& options);
void add_file_argument(CLI::App& command, std::string& file);

// Dirt added to a slot, told as text and as an object of JSON with name, added_blocks and the sum now.
nlohmann::json tell_added(const CommandOptions& options, OpenFile& opened, SlotId id, const DirtyBitmap& bits,
                          std::uint64_t blocks_before);

}  // namespace drseed::bitmap
