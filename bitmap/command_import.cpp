// drseed bitmap import: adds the dirt of a list that drseed or another program wrote.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/interrupt.h"
#include "base/size_text.h"
#include "base/unique_fd.h"
#include "bitmap/command_support.h"
#include "bitmap/commands.h"
#include "bitmap/map_reader.h"

namespace drseed::bitmap {
namespace {

constexpr std::size_t kMapBytesMax = 256 << 20;

const std::map<std::string, MapKind> kFormats = {{"auto", MapKind::kAuto},
                                                 {"text", MapKind::kText},
                                                 {"json", MapKind::kJson},
                                                 {"map", MapKind::kMap},
                                                 {"qemu-map", MapKind::kQemuMap}};

struct Arguments {
  CommandOptions common;
  std::string file, map, format = "auto";
  SlotOptions slot;
};

Result<std::string> read_whole(const std::string& path) {
  const UniqueFd fd(path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  std::string text;
  std::vector<char> piece(1 << 20);
  for (;;) {
    DRSEED_TRY(check_interrupt());
    const auto got = read(fd.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "{}: cannot be read", path);
    if (got == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(got));
    if (text.size() > kMapBytesMax) {
      return fail(ErrorCode::kUsage, "{}: larger than the {} that a map may have; split it, or drseed bitmap set --all",
                  path, format_size(kMapBytesMax));
    }
  }
}

Outcome run(const Arguments& arguments) {
  // Before the file is locked: what comes through a pipe may be an export of the same file.
  const auto text = DRSEED_TRY(read_whole(arguments.map));
  const auto name = arguments.map == "-" ? std::string("standard input") : arguments.map;
  auto opened = DRSEED_TRY(OpenFile::open(arguments.file, OpenMode::kReadWrite));
  const auto id = DRSEED_TRY(opened.choose(arguments.slot.name));
  DirtyBitmap dirt(opened.info().block_count());
  if (const auto read = read_map(text, kFormats.at(arguments.format), opened.info(), dirt); !read)
    return fail(read.error().code, "{}: {}; nothing was changed", name, read.error().message());
  auto bits = opened.load(id);
  const auto before = bits.dirty_count();
  bits.merge(dirt);
  DRSEED_TRY(opened.save(id, bits));
  auto list = nlohmann::json::array({tell_added(arguments.common, opened, id, bits, before)});
  return std::pair{kExitDone,
                   nlohmann::json{{"file", arguments.file}, {"map", arguments.map}, {"slots", std::move(list)}}};
}

}  // namespace

void add_import_command(CLI::App& bitmap, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = bitmap.add_subcommand("import", "Add the dirt that a list of runs or another tracker's map tells");
  add_file_argument(*command, arguments->file);
  command
      ->add_option("MAP", arguments->map, "A list as export writes it, or a map of nbdinfo or qemu-img; - for a pipe")
      ->required();
  add_slot_option(*command, arguments->slot);
  command->add_option("--format", arguments->format, "What MAP is; default: auto")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"auto", "text", "json", "map", "qemu-map"}));
  add_json_option(*command, arguments->common);
  command->footer("Example: drseed bitmap import r0.bitmap map.json");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::bitmap
