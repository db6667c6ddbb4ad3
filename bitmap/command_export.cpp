// drseed bitmap export: the dirty runs for other programs.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "bitmap/command_support.h"
#include "bitmap/commands.h"
#include "bitmap/map_writer.h"

namespace drseed::bitmap {
namespace {

struct Arguments {
  CommandOptions common;
  std::string file, output, format = "text";
  SlotOptions slot;
};

const std::map<std::string, MapFormat> kFormats = {
    {"text", MapFormat::kText}, {"json", MapFormat::kJson}, {"map", MapFormat::kMap}};

Result<> write_to(int fd, const std::string& name, const DirtyBitmap& bits, const Arguments& arguments,
                  const FileInfo& info) {
  return write_map(bits, info, kFormats.at(arguments.format), [&](std::string_view text) -> Result<> {
    DRSEED_TRY(check_interrupt());
    return write_all(fd, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, name);
  });
}

// A list that is cut short would look whole in some formats, so what could not be written to its end goes.
Result<> write_new_file(const Arguments& arguments, const DirtyBitmap& bits, const FileInfo& info) {
  const auto& path = arguments.output;
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd && errno == EEXIST)
    return fail(ErrorCode::kRefused, "{}: exists; remove it first, or choose another name", path);
  if (!fd) return fail_errno(errno, "{}: cannot be created", path);
  auto written = write_to(fd.get(), path, bits, arguments, info);
  if (written && fsync(fd.get()) != 0) written = fail_errno(errno, "{}: cannot be flushed", path);
  if (!written) unlink(path.c_str());
  return written;
}

Result<> write_output(const Arguments& arguments, const DirtyBitmap& bits, const FileInfo& info) {
  const auto& path = arguments.output;
  if (path.empty() || path == "-") return write_to(STDOUT_FILENO, "standard output", bits, arguments, info);
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return write_new_file(arguments, bits, info);
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  return write_to(fd.get(), path, bits, arguments, info);
}

Outcome run(const Arguments& arguments) {
  auto opened = DRSEED_TRY(OpenFile::open(arguments.file, OpenMode::kReadOnly));
  const auto id = DRSEED_TRY(opened.choose(arguments.slot.name));
  if ((opened.slot(id).flags & kSlotInvalid) != 0)
    log::warn("{}: is invalid: it has missed changes, and more differs than is listed", opened.slot_name(id));
  DRSEED_TRY(write_output(arguments, opened.load_with_log(id), opened.info()));
  return std::pair{kExitDone, nlohmann::json::object()};
}

}  // namespace

void add_export_command(CLI::App& bitmap, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = bitmap.add_subcommand("export", "List the dirty runs for another program");
  add_file_argument(*command, arguments->file);
  add_slot_option(*command, arguments->slot);
  command
      ->add_option("--format", arguments->format, "Lines of OFFSET LENGTH, JSON, or a map as nbdinfo's; default: text")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json", "map"}));
  command->add_option("--output", arguments->output, "Into this file, which must not exist; default: standard output")
      ->type_name("PATH");
  command->footer("Example: drseed bitmap export r0.bitmap --format json --output r0.json");
  command->callback(
      [arguments, &exit_status] { exit_status = finish_command(arguments->common, [&] { return run(*arguments); }); });
}

}  // namespace drseed::bitmap
