#include "seed/apply_journal.h"

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
    return fmt::format("{} of {} bytes, serial number '{}'", path, device.size_bytes(),
                       identity ? identity->serial : "");
  }
  struct stat status {};
  const bool known = fstat(device.buffered_fd(), &status) == 0;
  return fmt::format("{}, inode {}", path, known ? status.st_ino : 0);
}

Result<> save_journal(const std::string& path, const ApplyJournal& journal) {
  json done = json::array();
  for (const auto& range : journal.done.ranges())
    done.push_back({{"offset_bytes", range.offset_bytes}, {"length_bytes", range.length_bytes}});
  json damaged = json::array();
  for (const auto& bad : journal.damaged) {
    damaged.push_back(
        {{"offset_bytes", bad.range.offset_bytes}, {"length_bytes", bad.range.length_bytes}, {"reason", bad.reason}});
  }
  const json value = {{"version", kJournalVersion}, {"check", kUnsealed}, {"image", journal.image},
                      {"target", journal.target},   {"done", done},       {"damaged", damaged}};
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
  const auto read_ranges = [&](std::string_view key, auto&& add) {
    const auto& list = fields.raw(key);
    if (!list.is_array()) fields.refuse(key, "is no list");
    for (const auto& item : list.is_array() ? list : json::array()) {
      JsonFields range(item, fmt::format("{}: {}", path, key));
      const Range read{range.number("offset_bytes", kDiskBytesMax), range.number("length_bytes", kDiskBytesMax)};
      add(range, read);
      fields.merge(range);
    }
  };
  read_ranges("done", [&](JsonFields&, Range range) { journal.done.add(range); });
  read_ranges("damaged", [&](JsonFields& item, Range range) {
    journal.damaged.push_back({range, item.text("reason", 65536)});
  });
  DRSEED_TRY(fields.result());
  return journal;
}

Result<> remove_journal(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "{}: cannot be removed", path);
  return {};
}

}  // namespace drseed::seed
