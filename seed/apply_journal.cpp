#include "seed/apply_journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <filesystem>

#include "base/file.h"
#include "block/identity.h"
#include "seed/json_fields.h"
#include "seed/json_seal.h"

namespace drseed::seed {
namespace {

using nlohmann::json;

constexpr std::size_t kJournalBytesMax = 64 << 20;
constexpr std::uint64_t kJournalVersion = 1;

std::string absolute(const std::string& path) {
  std::error_code error;
  auto result = std::filesystem::weakly_canonical(path, error).string();
  return error ? path : result;
}

// A file name for a path: readable, and distinct by a hash.
std::string name_for(const std::string& target_path) {
  const auto path = absolute(target_path);
  auto name = path.substr(path.find_last_of('/') + 1);
  if (name.size() > 100) name.resize(100);
  return fmt::format("apply-{}-{:016x}", name, XXH3_64bits(path.data(), path.size()));
}

}  // namespace

std::string journal_path(const std::string& state_directory, const std::string& target_path) {
  return fmt::format("{}/{}.journal", state_directory, name_for(target_path));
}

std::string damage_report_path(const std::string& state_directory, const std::string& target_path) {
  return fmt::format("{}/{}.damaged.json", state_directory, name_for(target_path));
}

std::string describe_target(const block::Device& device) {
  const auto path = absolute(device.path());
  if (device.kind() == block::Kind::kBlockDevice) {
    const auto identity = block::identify(device);
    return fmt::format("{} of {} bytes, serial number '{}', {}", path, device.size_bytes(),
                       identity ? identity->serial : "", identity ? identity->by_id : "");
  }
  // A file that was removed and made again can have the same inode, but not the same birth.
  struct statx status {};
  const bool known = statx(device.buffered_fd(), "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status) == 0;
  return fmt::format("{}, inode {}, born {}.{:09}", path, known ? status.stx_ino : 0,
                     known ? status.stx_btime.tv_sec : 0, known ? status.stx_btime.tv_nsec : 0);
}

Result<> save_journal(const std::string& path, const ApplyJournal& journal) {
  json done = json::array();
  for (const auto& range : journal.done.ranges())
    done.push_back({{"offset_bytes", range.offset_bytes}, {"length_bytes", range.length_bytes}});
  const json value = {{"version", kJournalVersion},
                      {"check", kUnsealed},
                      {"image", journal.image},
                      {"target", journal.target},
                      {"done", done}};
  return write_file_atomically(path, seal(value.dump(1, ' ', false, json::error_handler_t::replace) + "\n"));
}

Result<std::optional<ApplyJournal>> load_journal(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return std::nullopt;
  const auto text = DRSEED_TRY(read_file(path, kJournalBytesMax));
  DRSEED_TRY(check_seal(text, path));  // a range that is wrongly taken for done would never be written
  const auto value = DRSEED_TRY(parse_json_object(text, path));
  JsonFields fields(value, path);
  if (fields.number("version", kJournalVersion) != kJournalVersion) fields.refuse("version", "is not 1");
  ApplyJournal journal;
  journal.image = fields.text("image", 65536);
  journal.target = fields.text("target", 65536);
  const auto& done = fields.raw("done");
  if (!done.is_array()) fields.refuse("done", "is no list");
  for (const auto& item : done.is_array() ? done : json::array()) {
    JsonFields range(item, fmt::format("{}: done", path));
    const auto offset = range.number("offset_bytes", kDiskBytesMax);
    journal.done.add({offset, range.number("length_bytes", kDiskBytesMax)});
    fields.merge(range);
  }
  DRSEED_TRY(fields.result());
  return journal;
}

Result<> remove_journal(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "{}: cannot be removed", path);
  return {};
}

}  // namespace drseed::seed
