// drseed bitmap merge: adds the dirt of another slot, in this file or in another.

#include <sys/stat.h>

#include "bitmap/command_support.h"
#include "bitmap/commands.h"

namespace drseed::bitmap {
namespace {

struct Arguments {
  CommandOptions common;
  std::string file, from, from_slot;
  SlotOptions slot;
  bool any_mirror = false;
};

bool is_same_file(const std::string& a, const std::string& b) {
  struct stat status_a {
  }, status_b{};
  return stat(a.c_str(), &status_a) == 0 && stat(b.c_str(), &status_b) == 0 && status_a.st_dev == status_b.st_dev &&
         status_a.st_ino == status_b.st_ino;
}

// Clean bits of such a slot say nothing, so the sum would say nothing either.
Result<> check_valid(const OpenFile& opened, SlotId id) {
  if ((opened.slot(id).flags & kSlotInvalid) == 0) return {};
  return fail(ErrorCode::kRefused,
              "{}: is invalid: it has missed changes, and what it would add is not all that differs. Use drseed bitmap "
              "set --all instead, or a checksum resync",
              opened.slot_name(id));
}

Result<> check_same_volume(const Arguments& arguments, const OpenFile& opened, const OpenFile& other) {
  if (opened.info().volume_bytes != other.info().volume_bytes) {
    return fail(ErrorCode::kRefused, "{} is of a volume of {} bytes, {} of one of {} bytes: not the same volume",
                opened.path(), opened.info().volume_bytes, other.path(), other.info().volume_bytes);
  }
  if (!arguments.any_mirror && opened.info().mirror_id != other.info().mirror_id) {
    return fail(ErrorCode::kRefused, "{} is of mirror {}, {} of mirror {}; --any-mirror merges them all the same",
                opened.path(), to_string(opened.info().mirror_id), other.path(), to_string(other.info().mirror_id));
  }
  return {};
}

// From a file of its own: what it stores and what its activity log holds, in blocks of the receiver's size.
Result<DirtyBitmap> load_other(const Arguments& arguments, const OpenFile& opened) {
  auto other = DRSEED_TRY(OpenFile::open(arguments.from, OpenMode::kReadOnly));
  DRSEED_TRY(check_same_volume(arguments, opened, other));
  const auto id = DRSEED_TRY(other.choose(arguments.from_slot));
  DRSEED_TRY(check_valid(other, id));
  auto bits = other.load_with_log(id);
  if (other.info().block_bytes == opened.info().block_bytes) return bits;
  return bits.with_block_bytes(other.info().block_bytes, opened.info().block_bytes, opened.info().volume_bytes);
}

// Of the same file, which is locked already. Its activity log counts for the receiving slot as it is.
Result<DirtyBitmap> load_own(const Arguments& arguments, OpenFile& opened, SlotId to) {
  const auto from = DRSEED_TRY(opened.choose(arguments.from_slot));
  if (from == to) {
    return fail(ErrorCode::kUsage, "{}: merged with itself adds nothing; name another with --from-slot",
                opened.slot_name(to));
  }
  DRSEED_TRY(check_valid(opened, from));
  return opened.load(from);
}

Outcome run(const Arguments& arguments) {
  auto opened = DRSEED_TRY(OpenFile::open(arguments.file, OpenMode::kReadWrite));
  const auto id = DRSEED_TRY(opened.choose(arguments.slot.name));
  const auto dirt = is_same_file(arguments.file, arguments.from) ? DRSEED_TRY(load_own(arguments, opened, id))
                                                                 : DRSEED_TRY(load_other(arguments, opened));
  auto bits = opened.load(id);
  const auto before = bits.dirty_count();
  bits.merge(dirt);
  DRSEED_TRY(opened.save(id, bits));
  auto list = nlohmann::json::array({tell_added(arguments.common, opened, id, bits, before)});
  return std::pair{kExitDone,
                   nlohmann::json{{"file", arguments.file}, {"from", arguments.from}, {"slots", std::move(list)}}};
}

}  // namespace

void add_merge_command(CLI::App& bitmap, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = bitmap.add_subcommand("merge", "Add the dirt of another bitmap file's slot");
  add_file_argument(*command, arguments->file);
  command->add_option("--from", arguments->from, "The bitmap file to take dirt from; it is not changed")
      ->type_name("OTHER")
      ->required();
  command->add_option("--from-slot", arguments->from_slot, "Its slot, by name or id; default: the only one in use")
      ->type_name("NAME");
  add_slot_option(*command, arguments->slot);
  command->add_flag("--any-mirror", arguments->any_mirror, "Also from a bitmap of another mirror");
  add_json_option(*command, arguments->common);
  command->footer("Example: drseed bitmap merge r0.bitmap --from old-source.bitmap");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::bitmap
